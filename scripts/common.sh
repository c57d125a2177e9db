# Sourced by the install scripts: how to become root, and what Debian has already.

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "cannot install packages: not root, and there is no sudo"
        say "hint: run as root: $*"
        exit 1
    fi
}

# Installs those of the named Debian packages that are missing; returns at once if none is.
debian_packages() {
    local missing=() package
    for package in "$@"; do
        if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
            missing+=("$package")
        fi
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

have_apt() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }
