# shellcheck shell=bash
# hzc-encode-tree and hzc-decode-tree but for their suffixes. Sourced after script.bash, not run.
#
# mirror_tree plans first (find, targets, collisions, what is left to do), then writes the plan as
# batches: files of one folder, because `hzc -d` takes one output folder. xargs runs one hzc per
# batch; a batch leaves the list of its failed files in $work/failed, and a batch that leaves no
# list (killed, never started) has failed as a whole.

# One hzc process takes at most this many files: enough to make the loading of the model cheap,
# few enough for the limit on the length of a command line (paths are at most 4 KiB).
max_batch=100

# Sets jobs, force, dry_run, quiet, src, dst and options (those for hzc, behind --).
parse_tree_arguments() {
    local -a operands=()
    jobs=1 force=no dry_run=no quiet=no options=()
    while (($#)); do
        case $1 in
            -h | --help) print_usage && exit 0 ;;
            -f | --force) force=yes ;;
            -n | --dry-run) dry_run=yes ;;
            -q | --quiet) quiet=yes ;;
            -j | --jobs) (($# > 1)) || die "$1 needs a number"; jobs=$2; shift ;;
            -j*) jobs=${1#-j} ;;
            --) options=("${@:2}"); break ;;
            -*) die "no such option: $1 (-h shows them; those for hzc go behind --)" ;;
            *) operands+=("$1") ;;
        esac
        shift
    done
    ((${#operands[@]} == 2)) || die "wants SRC and DST, found ${#operands[@]} names (-h: help)"
    [[ $jobs =~ ^[1-9][0-9]{0,3}$ ]] || die "jobs must be a number from 1 to 9999 (found $jobs)"
    src=${operands[0]} dst=${operands[1]}
    [[ -d $src ]] || die "$src: no such folder"
    [[ -n $dst ]] || die "the name of DST is empty"
    [[ -d $dst || ! -e $dst ]] || die "$dst: not a folder"
    [[ ! $src -ef $dst ]] || die "$dst: SRC and DST are one folder (hzc writes there without -d)"
    src=${src%/} dst=${dst%/}
}

# plan_tree SUFFIX: reads $work/found; sets todo (paths below SRC) and n_skipped. Exits with 2
# when two sources have one target.
plan_tree() {
    local path name target n_collisions=0
    local -A owner=() # keys begin with a slash: bash takes neither "" nor "@" as a key
    todo=() n_skipped=0
    while IFS= read -r -d '' path; do
        name=${path#"$src/"}
        name=${name#/} # BSD's find says SRC//name
        target=${name%.*}.$1
        if [[ -n ${owner["/$target"]-} ]]; then
            printf '%s: two sources for %q: %q and %q\n' \
                "$program" "$dst/$target" "$src/${owner["/$target"]}" "$src/$name" >&2
            n_collisions=$((n_collisions + 1))
        fi
        owner["/$target"]=$name
        if [[ $force == no && -f $dst/$target ]]; then
            n_skipped=$((n_skipped + 1))
        else
            todo+=("$name")
        fi
    done <"$work/found"
    ((n_collisions == 0)) || die "nothing done; rename or move one of each pair"
}

# Writes todo to $work/batches: the folder below SRC ("" or "/x/y"), then the names of its files.
write_batches() {
    local name folder batch n size=$(((${#todo[@]} + jobs - 1) / jobs))
    local -A open_batch=() n_planned=()
    n_batches=0
    mkdir -- "$work/batches" "$work/failed"
    ((size <= max_batch)) || size=$max_batch
    for name in "${todo[@]}"; do
        folder=/
        [[ $name != */* ]] || folder=/${name%/*}
        n=${n_planned["$folder"]-0}
        if ((n % size == 0)); then
            n_batches=$((n_batches + 1))
            printf -v batch '%s/batches/%07d' "$work" "$n_batches"
            printf '%s\0' "${folder%/}" >"$batch"
            open_batch["$folder"]=$batch
        fi
        printf '%s\0' "${name##*/}" >>"${open_batch["$folder"]}"
        n_planned["$folder"]=$((n + 1))
    done
}

# What changes when hzc replaces a file (GNU stat, else BSD's); nothing for a missing file.
fingerprint() {
    [[ ! -e $1 ]] || stat -L -c '%i %z' -- "$1" 2>/dev/null || stat -L -f '%i %Fc' -- "$1" || true
}

# run_batch COMMAND... BATCH: one call of hzc, in a process of its own below xargs.
run_batch() {
    local batch=${!#} folder name target from to rc=0 i
    local -a names sources=() before=() failed=()
    # The script was killed and its folder is gone, or an earlier batch said stop.
    [[ -r $batch && ! -e $work/stop ]] || return 0
    mapfile -d '' -t names <"$batch"
    folder=${names[0]} names=("${names[@]:1}")
    from=$src$folder to=$dst$folder
    for name in "${names[@]}"; do
        sources+=("$from/$name")
        [[ $force == no ]] || before+=("$(fingerprint "$to/${name%.*}.$suffix")")
    done

    { mkdir -p -- "${to:-/}" && "${@:1:$#-1}" -d "${to:-/}" -- "${sources[@]}"; } || rc=$?
    if ((rc == 2 || rc == 130)); then # wrong options, or Ctrl-C: true of all other batches too
        printf '%s' "$rc" >"$work/stop"
        return 0
    fi

    [[ -d $work ]] || return 0 # killed meanwhile
    # The targets tell which files failed, also after a crash. With -f an old target may stand
    # where the new one should be.
    for i in "${!names[@]}"; do
        target=$to/${names[i]%.*}.$suffix
        if [[ ! -f $target ]]; then
            failed+=("${sources[i]}")
        elif [[ $force == yes && $rc != 0 && $(fingerprint "$target") == "${before[i]}" ]]; then
            failed+=("${sources[i]}")
        fi
    done
    if ((${#failed[@]})); then
        printf '%s\0' "${failed[@]}" >"$work/failed/${batch##*/}"
    else
        : >"$work/failed/${batch##*/}"
    fi
    [[ $quiet == yes ]] || printf '[%d/%d] %q: %d done, %d failed\n' "$((10#${batch##*/}))" \
        "$n_batches" "${from:-/}" $((${#names[@]} - ${#failed[@]})) "${#failed[@]}" >&2
}

# Runs all batches, jobs at a time.
run_batches() {
    local n_threads
    if ((jobs > 1)) && [[ -z ${HZC_THREADS-}${OMP_NUM_THREADS-} ]]; then
        n_threads=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
        n_threads=$((n_threads > jobs ? n_threads / jobs : 1))
        export HZC_THREADS=$((n_threads < 256 ? n_threads : 256)) # hzc takes no more
    fi
    export program src dst suffix force quiet work n_batches
    export -f fingerprint run_batch
    # What goes wrong in a batch shows in $work/failed, so xargs' own status adds nothing. cat ends
    # with the last hzc, also after Ctrl-C: none outlives this script.
    printf '%s\0' "$work"/batches/* |
        xargs -0 -n 1 -P "$jobs" "$BASH" -euo pipefail -c 'run_batch "$@"' "$program" "$@" |
        (trap '' INT && exec cat) || true
    [[ ! -e $work/stop ]] || {
        say "stopped by hzc's exit status $(<"$work/stop"); a new run goes on from here"
        exit "$(<"$work/stop")"
    }
}

# Sets failed to the sources that have no new target.
collect_failed() {
    local batch name
    local -a names
    failed=()
    for batch in "$work"/batches/*; do
        if [[ -e $work/failed/${batch##*/} ]]; then
            mapfile -d '' -t names <"$work/failed/${batch##*/}"
            failed+=("${names[@]}")
        else
            mapfile -d '' -t names <"$batch"
            for name in "${names[@]:1}"; do failed+=("$src${names[0]}/$name"); done
        fi
    done
}

# mirror_tree VERB TARGET_SUFFIX "SOURCE_SUFFIX..." ARGUMENT...: all of encode-tree, decode-tree.
mirror_tree() {
    local verb=$1 suffix=$2 status=0 name
    local -a wanted hzc=() existing=(--skip-existing)
    read -r -a wanted <<<"$3"
    parse_tree_arguments "${@:4}"
    [[ $force == no ]] || existing=(--force)
    [[ $dry_run == yes ]] || find_hzc
    make_work
    find_files "$src" "${wanted[@]}" || status=123
    plan_tree "$suffix"

    failed=()
    if [[ $dry_run == yes ]]; then
        for name in "${todo[@]}"; do
            printf '%q -> %q\n' "$src/$name" "$dst/${name%.*}.$suffix"
        done
        exit "$status"
    elif ((${#todo[@]})); then
        write_batches
        # Quietly: the progress bars of several processes would overwrite each other.
        run_batches "${hzc[@]}" "$verb" "${options[@]}" -q "${existing[@]}"
        collect_failed
    fi
    ((status == 0)) || say "some folders could not be read, see find's messages above"
    if ((${#failed[@]})); then
        status=123
        say "failed:"
        printf '  %q\n' "${failed[@]}" >&2
    fi
    [[ $quiet == yes && $status == 0 ]] || say "$((${#todo[@]} - ${#failed[@]})) done," \
        "$n_skipped skipped, ${#failed[@]} failed"
    exit "$status"
}
