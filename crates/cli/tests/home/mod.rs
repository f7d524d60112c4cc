//! A home folder of a test, and the shipped binary in it.
#![allow(dead_code)] // every test binary uses a part

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use serde_json::Value;

/// File of the passphrase that every command of a home gets, if there is one.
const PASSPHRASE: &str = "passphrase.of-all";

pub struct Home(pub tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(std::process::Stdio::null()).output().unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
        command.args(["--output", "json", "--home"]).arg(self.0.path()).args(args);
        let passphrase = self.0.path().join(PASSPHRASE);
        if passphrase.exists() {
            command.arg("--passphrase-file").arg(passphrase);
        }
        command
    }

    /// From now on every command opens the wallet with this.
    pub fn locked(&self, passphrase: &str) {
        self.secret(PASSPHRASE, &format!("{passphrase}\n"));
    }

    pub fn ok(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {}: {stdout}{stderr}", output.status);
        serde_json::from_str(&stdout).unwrap()
    }

    /// Exit code and error code.
    pub fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        let error: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), error["code"].as_str().unwrap_or_default().to_owned())
    }

    /// What processes in the background said.
    fn show_logs(&self) {
        let hosts =
            std::fs::read_dir(self.0.path().join("requester")).into_iter().flatten().flatten();
        let logs = hosts
            .map(|entry| entry.path().join("host.log"))
            .chain([self.0.path().join("local/up.log")]);
        for log in logs {
            eprintln!("{}:\n{}", log.display(), std::fs::read_to_string(&log).unwrap_or_default());
        }
    }

    pub fn secret(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        self.run(&["down"]);
    }
}

/// Kills a process and waits until it is gone.
pub fn kill(pid: &Value) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    let process = format!("/proc/{pid}/stat");
    // Gone, or a zombie of ours that nobody waits for.
    while std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z ")) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
