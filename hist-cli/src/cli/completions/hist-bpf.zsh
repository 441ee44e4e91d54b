#compdef hist-bpf
# Completion of hist-bpf for zsh. The program itself knows what may come next.
_hist-bpf() {
    local -a asked open closed open_shown closed_shown
    local ending word help
    asked=("${(@)words}")
    asked[CURRENT]=$PREFIX
    while IFS=$'\t' read -r ending word help; do
        if [[ $ending == closed ]]; then
            closed+=("$word")
            closed_shown+=("$word${help:+  -- $help}")
        else
            open+=("$word")
            open_shown+=("$word${help:+  -- $help}")
        fi
    done < <("${(Q)words[1]}" __complete zsh $((CURRENT - 1)) "${(@)asked}" 2>/dev/null)
    if (( $#open + $#closed == 0 )); then
        _default
        return
    fi
    (( $#open )) && compadd -l -S '' -d open_shown -a open
    (( $#closed )) && compadd -l -d closed_shown -a closed
    return 0
}
if [[ $funcstack[1] == _hist-bpf ]]; then
    _hist-bpf "$@"
else
    compdef _hist-bpf hist-bpf
fi
