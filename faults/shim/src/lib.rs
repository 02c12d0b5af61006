//! Preloaded: records what a process does to the files of one folder.
