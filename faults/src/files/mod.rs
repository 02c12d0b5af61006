//! A folder of files as a disk keeps it: what a recorded run may leave after a crash.
