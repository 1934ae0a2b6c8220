"""The completion scripts of bash and fish; those of other shells are click's."""

from __future__ import annotations

from typing import Final

COMPLETES: Final = "_GEMMAHUB_COMPLETE"
"""The variable by which a shell asks what completes a line."""

# click's own script gives the words as bash splits them, which is at colons, too: it never
# completes gemma-3-4b-it:q4_0. This one gives the line, and takes off what bash keeps.
BASH: Final = r"""%(complete_func)s() {
    local IFS=$'\n' line current kept="" type value
    line="${COMP_LINE:0:COMP_POINT}"
    current="${line##*[[:space:]]}"
    if [[ "$COMP_WORDBREAKS" == *:* && "$current" == *:* ]]; then
        kept="${current%%"${current##*:}"}"
    fi
    COMPREPLY=()
    while IFS=',' read -r type value; do
        if [[ $type == dir ]]; then
            compopt -o dirnames 2>/dev/null
        elif [[ $type == file ]]; then
            compopt -o default 2>/dev/null
        elif [[ $type == plain ]]; then
            COMPREPLY+=("${value#"$kept"}")
        fi
    done < <(COMP_LINE="$line" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""

# click's own script cuts a description at its first comma.
FISH: Final = r"""function %(complete_func)s
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \
        COMP_CWORD=(commandline -t) %(prog_name)s 2>/dev/null)
    for completion in $response
        set -l parts (string split -m 1 "," $completion)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""
