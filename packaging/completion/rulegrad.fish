# The command itself knows what may follow, so that this file cannot fall behind it.
function __rulegrad_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete -- $words[2..-1] 2>/dev/null
end
complete -c rulegrad -a '(__rulegrad_complete)'
