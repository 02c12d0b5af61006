//! Building the other side.

use crate::{Stop, process};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The folder of the Go program.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/go")
}

/// What `go version` says; `None` where there is no `go`.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("go").arg("version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.split_whitespace().find(|word| word.starts_with("go1"))?.to_owned())
}

/// Builds the Go program into this folder. What `go` says goes to standard error.
pub(crate) fn build(into: &Path) -> Result<PathBuf, Stop> {
    let source = source();
    if !source.join("go.mod").is_file() {
        let path = source.display();
        return Err(Stop::failed(format!(
            "{path}: the Go program is not there; run this from a checkout of the repository"
        )));
    }
    let program = into.join(format!("anabranch-go-bench{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new("go");
    command.current_dir(&source).args(["build", "-o"]).arg(&program).arg(".").stdin(Stdio::null());
    if process::wait(&mut command)?.success() {
        Ok(program)
    } else {
        Err(Stop::failed(format!("`go build` failed in {}; see above", source.display())))
    }
}
