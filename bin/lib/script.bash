# shellcheck shell=bash
# What the scripts of bin share: messages, help, the hzc command. Sourced, not run.

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    printf '%s: needs bash 4.4 or later (found %s)\n' "${0##*/}" "$BASH_VERSION" >&2
    exit 2
fi

program=${0##*/}

say() { printf '%s: %s\n' "$program" "$*" >&2; }

die() {
    say "$*"
    exit 2
}

# The header comment of the running script.
print_usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# Sets hzc to the words of the command; HZC is one name, or several words ("python3 -m hzc").
find_hzc() {
    hzc=("${HZC:-hzc}")
    command -v -- "${hzc[0]}" >/dev/null || read -r -a hzc <<<"${HZC:-hzc}"
    command -v -- "${hzc[0]-}" >/dev/null ||
        die "command not found: ${HZC:-hzc} (install hzc, or let HZC name the command)"
}
