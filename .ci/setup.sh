#!/bin/sh
# Make the virtual environment $1 (default .venv) and install genoseq into it, with the extras $2 (such as test,dev; default none).
# Works without Debian's python3-venv package (no ensurepip) wherever pip can be had in another way.
# PYTHON chooses the interpreter; it must be 3.11 or newer.
set -eu
venv=${1:-.venv}
extras=${2:-}

fail() {
    echo "setup: $*" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -z "${PYTHON:-}" ]; then
    for candidate in python3 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            PYTHON=$candidate
            break
        fi
    done
fi
[ -n "${PYTHON:-}" ] || fail "no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3.11"
new_enough "$PYTHON" || fail "$PYTHON is not Python 3.11 or newer"

has_pip() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

with_ensurepip() {
    "$PYTHON" -c 'import ensurepip' 2>/dev/null && "$PYTHON" -m venv "$venv"
}

with_system_pip() { # the pip outside installs one inside
    "$PYTHON" -m pip --version >/dev/null 2>&1 &&
        "$PYTHON" -m venv --without-pip "$venv" &&
        "$PYTHON" -m pip --python "$venv/bin/python" install --quiet pip
}

with_get_pip() { # the script by which pip installs itself
    "$PYTHON" -m venv --without-pip "$venv" &&
        "$PYTHON" -c 'import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen("https://bootstrap.pypa.io/get-pip.py").read())' \
            >"$venv/get-pip.py" && "$venv/bin/python" "$venv/get-pip.py" --quiet
}

with_apt() { # as root on Debian or Ubuntu: the missing package itself
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt-get update -qq >&2 || true
    { apt-get install -y -qq "python$version-venv" || apt-get install -y -qq python3-venv; } >&2 &&
        "$PYTHON" -m venv "$venv"
}

for way in with_ensurepip with_system_pip with_apt with_get_pip; do
    has_pip && break
    rm -rf "$venv"
    "$way" || echo "setup: $way did not work, trying the next way" >&2
done
has_pip || fail "cannot make a virtual environment with pip; install the package python3-venv (apt-get install python3-venv)"

echo "setup: installing genoseq${extras:+ ($extras)} and what it needs into $venv; the first time some minutes and about 2 GB" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}"
