# Completes the commands of this suite in bash: options, subcommands and files. Put this line into ~/.bashrc:
#
#     source /opt/transfer/samples/completion.bash
#
# It reads the --help of the script itself, so it knows the options of the installed version. For all other programs that
# are run with python, it completes file names.

_globus_transfer() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local at word script="" commands=() offered
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if [[ -z $script ]]; then
            case ${word##*/} in
                main.py | set_time.py | status.py | test_config.py | timer.py) script=${word/#\~/$HOME} ;;
                -X | -W) ((at++)) ;; # options of Python itself
                -*) ;;
                *) return ;;
            esac
        elif [[ $word == --config ]]; then
            ((at++))
        elif [[ ${script##*/} == timer.py && $word =~ ^[a-z]+$ && ${#commands[@]} -lt 2 ]]; then
            commands+=("$word")
        elif [[ $word == -* ]]; then
            break # what follows are options and their values
        fi
    done
    [[ -f $script ]] || return
    _globus_transfer_ask "${COMP_WORDS[0]/#\~/$HOME}" "$script" ${commands[@]+"${commands[@]}"}
    if [[ $current == -* ]]; then
        offered=$(grep -oE -e '(^|[ ,[])--?[a-zA-Z][a-z-]*' <<<"$_globus_transfer_help" | tr -d " ,[" | sort -u)
    elif [[ $previous == --* ]]; then
        offered=$(sed -n "s/^ *\(-[a-zA-Z], \)\{0,1\}$previous {\([^}]*\)}.*/\2/p" <<<"$_globus_transfer_help" | tr , ' ')
    else
        offered=$(sed -n '/^commands:/,/^$/s/^    \([a-z][a-z-]*\).*/\1/p' <<<"$_globus_transfer_help")
    fi
    # shellcheck disable=SC2207  # options and commands are single words
    COMPREPLY=($(compgen -W "$offered" -- "$current"))
}

# The options and commands in the help of a script. The last help is kept, because Python takes a moment to start.
_globus_transfer_ask() {
    [[ "$*" == "$_globus_transfer_asked" ]] && return
    _globus_transfer_help=$("$@" --help 2>/dev/null </dev/null | sed '/^examples:/,$d')
    _globus_transfer_asked="$*"
}

_globus_transfer_asked="" _globus_transfer_help=""
complete -o bashdefault -o default -F _globus_transfer python python3
