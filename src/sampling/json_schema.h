#pragma once

#include <string_view>

#include "base/result.h"
#include "sampling/grammar.h"

namespace baltoro {

// The JSON texts that satisfy a schema, as grammar over UTF-8 bytes. The schema "{}" (and `true`)
// stands for any object, which is what JSON mode asks for.
//
// Enforced: type, nullable, enum, const, properties, required, additionalProperties, items,
// prefixItems, minItems, maxItems, minLength, maxLength, anyOf, oneOf (as anyOf), allOf, $ref
// within the text. Ignored: what only describes, and bounds on single values (pattern, format,
// minimum, multipleOf, uniqueItems, minProperties, propertyNames, ...). Refused by name: not, if,
// contains, patternProperties, unevaluatedProperties and their like.
//
// The language is narrower than the schema's in these ways, which leave every text valid:
// properties come in the schema's order, then those that `required` names alone, then additional
// ones; an object with `properties` has no others, and an array with `prefixItems` no further
// elements, unless the schema says so; white space is at most one space after ',' and ':'; keys and
// the values of enum and const have one spelling; numbers are those of JsonRules. Only additional
// properties can occur twice.
//
// Any thread; allocates. Takes well below a second and fails, naming the reason, for what is beyond
// the limits of SchemaTree and GrammarBuilder.
Result<Grammar> compile_json_schema(std::string_view schema_text);

}  // namespace baltoro
