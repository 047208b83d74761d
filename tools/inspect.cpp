#include <cstdio>
#include <string>

#include "model/inspect.h"
#include "tools/commands.h"

