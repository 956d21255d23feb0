#pragma once

namespace [[gnu::visibility("default")]] rulegrad {

/// For programs whose models may change on disk while they run. Large weights stay in their files, which are
/// mapped into memory; when another program cuts such a file short, reading it raises SIGBUS. From now on
/// this process then says which file it was and exits with code 2, where it would have died without a word.
/// Other causes of the signal end it as before.
void name_files_cut_short();

}  // namespace rulegrad
