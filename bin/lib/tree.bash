# shellcheck shell=bash
# hzc-encode-tree and hzc-decode-tree: options and exit codes over `hzc VERB -r`. Sourced, not run.

tree() { # VERB ARGUMENT...
    local -a options=(--skip-existing) more=() folders=() hzc=()
    local verb=$1 code=0
    shift
    while (($#)); do
        case $1 in
            -h | --help) print_usage && exit 0 ;;
            -f | --force) options=(--force "${options[@]:1}") ;;
            -n | --dry-run | -q | --quiet | -j?*) options+=("$1") ;;
            -j | --jobs) (($# > 1)) || die "$1 needs a number"; options+=(-j "$2"); shift ;;
            --) more=("${@:2}") && break ;;
            -*) die "no such option: $1 (-h shows them; those for hzc go behind --)" ;;
            *) folders+=("$1") ;;
        esac
        shift
    done
    ((${#folders[@]} == 2)) || die "wants SRC and DST, found ${#folders[@]} names (-h: help)"
    [[ -d ${folders[0]} ]] || die "${folders[0]}: no such folder"
    [[ -n ${folders[1]} && (-d ${folders[1]} || ! -e ${folders[1]}) ]] ||
        die "${folders[1]}: not a folder"
    [[ ! ${folders[0]} -ef ${folders[1]} ]] || die "SRC and DST are one folder"
    find_hzc
    options+=("${more[@]}" -d "${folders[1]}")
    "${hzc[@]}" "$verb" -r "${options[@]}" -- "${folders[0]}" || code=$?
    case $code in
        0 | 2) ;;
        6) code=2 ;; # two sources with one target: nothing was done
        *) ((code >= 128)) || code=123 ;;
    esac
    exit "$code"
}
