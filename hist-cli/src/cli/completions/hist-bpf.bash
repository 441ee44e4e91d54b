# Completion of hist-bpf for bash. The program itself knows what may come next.
_hist_bpf() {
    local before=${COMP_LINE:0:COMP_POINT} behind=${COMP_LINE:COMP_POINT}
    mapfile -t COMPREPLY < <("$1" __complete bash "$before" "$behind" "$2" 2>/dev/null)
    # Without candidates bash offers files, which end in a blank.
    if ((${#COMPREPLY[@]} == 0)); then
        compopt +o nospace 2>/dev/null
    fi
}
complete -o nospace -o nosort -o bashdefault -o default -F _hist_bpf hist-bpf
