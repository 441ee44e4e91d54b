# Completion of hist-bpf for fish. The program itself knows what may come next.
function __hist_bpf_complete
    set -l before (commandline -opc)
    set -l all (commandline -op)
    set -l current (commandline -ct)
    set -l count (count $before)
    # The words behind the cursor follow the current one, which is not there while it is empty.
    set -l next (math $count + 1)
    test -n "$current"; and set next (math $count + 2)
    set -l after
    test (count $all) -ge $next; and set after $all[$next..-1]
    $before[1] __complete fish $count $before "$current" $after 2>/dev/null
end
# Where there are candidates, files are none.
complete -c hist-bpf -n 'set -g __hist_bpf_candidates (__hist_bpf_complete); test -n "$__hist_bpf_candidates"' -f -a '(string join \n -- $__hist_bpf_candidates)'
