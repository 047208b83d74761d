# Sourced by quickstart and test: what the build needs, from the distribution alone.

packages="g++ meson ninja-build pkg-config cmake git python3 libdnnl-dev libhwloc-dev nlohmann-json3-dev
          doctest-dev libpcre2-dev libcli11-dev libfmt-dev libedit-dev libboost1.81-dev
          libboost-context1.81-dev"
# What the tests need besides: clients are installed into an environment of their own.
test_packages="python3-venv"

# Installs what is missing; says what, and asks for sudo only if the user is not root.
install_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "installing:$missing"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        echo "(asking for your password to run apt-get)"
        as_root=sudo
    fi
    $as_root apt-get update -qq
    # shellcheck disable=SC2086  # one word per package
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
