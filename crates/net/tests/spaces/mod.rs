//! Two network namespaces that can't reach each other, with namespaces between them that forward
//! nothing, for a relay and a chain. The tests of this crate and of the command share them.
#![allow(dead_code, reason = "every test uses its part")]

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Port of the relay, on both of its sides.
const RELAY_PORT: u16 = 3340;
const LEFT_ADDR: &str = "10.77.1.2";
const RELAY_ADDR: &str = "10.77.1.1";

/// Returns the relay's URL, which is the same on either side.
pub fn relay_url() -> String {
    format!("http://{RELAY_ADDR}:{RELAY_PORT}")
}

/// Returns whether packets reach the left side: a reachable host would refuse the connection at
/// once.
pub fn reaches_the_left() -> bool {
    let direct = SocketAddr::new(LEFT_ADDR.parse().unwrap(), 9);
    matches!(TcpStream::connect_timeout(&direct, Duration::from_secs(2)), Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// The namespaces left, right and middle.
pub struct Spaces {
    pub left: Namespace,
    pub right: Namespace,
    middle: Namespace,
    cables: [Cable; 2],
}

/// A namespace that both sides can reach, at one address each, and that forwards nothing between
/// them.
pub struct Between {
    pub space: Namespace,
    cables: [Cable; 2],
}

impl Between {
    /// Its addresses for the left and for the right.
    pub const ADDRS: [&str; 2] = ["10.77.3.1", "10.77.4.1"];
}

/// Side whose cables are cut or mended.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    Left,
    Right,
}

impl Spaces {
    /// Creates the namespaces; `None` if that is not possible here. `number` separates two tests of
    /// one process.
    pub fn new(number: u8) -> Option<Self> {
        let new = |name: &str| Namespace::new(&format!("{name}{number}"));
        let (middle, left, right) = (new("middle")?, new("left")?, new("right")?);
        let cables = [
            middle.cable(&left, 4 * number, (RELAY_ADDR, LEFT_ADDR))?,
            middle.cable(&right, 4 * number + 1, ("10.77.2.1", "10.77.2.2"))?,
        ];
        let routed = left.route_through(RELAY_ADDR) && right.route_through("10.77.2.1");
        routed.then_some(Self { left, right, middle, cables })
    }

    /// Adds a namespace between both sides.
    pub fn between(&self, number: u8) -> Option<Between> {
        let space = Namespace::new(&format!("between{number}"))?;
        let [left, right] = Between::ADDRS;
        let cables = [
            space.cable(&self.left, 4 * number + 2, (left, "10.77.3.2"))?,
            space.cable(&self.right, 4 * number + 3, (right, "10.77.4.2"))?,
        ];
        Some(Between { space, cables })
    }

    /// Cuts or mends a side's cables to the middle and to another namespace between.
    pub fn line(&self, side: Side, between: &Between, up: bool) {
        let at = side as usize;
        assert!(self.cables[at].set(up) && between.cables[at].set(up));
    }

    /// Runs a relay in the middle namespace.
    pub fn relay(&self, binary: &Path, folder: &Path) -> Running {
        let config = folder.join("relay.toml");
        std::fs::write(
            &config,
            format!("http_bind_addr = \"0.0.0.0:{RELAY_PORT}\"\nenable_metrics = false\n"),
        )
        .unwrap();
        let mut serve = self.middle.command(binary);
        serve.arg("--config-path").arg(&config).stderr(Stdio::null()).stdout(Stdio::null());
        Running(serve.spawn().unwrap())
    }
}

/// A cable, which is cut at its near end, so that the far end keeps its routes.
struct Cable {
    space: String,
    near: String,
}

impl Cable {
    fn set(&self, up: bool) -> bool {
        ip(&["-n", &self.space, "link", "set", &self.near, if up { "up" } else { "down" }])
    }
}

/// A namespace, which disappears with its processes.
pub struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Option<Self> {
        let name = format!("rialto-{name}-{}", std::process::id());
        ip(&["netns", "add", &name]).then_some(())?;
        let made = Self(name);
        ip(&["-n", &made.0, "link", "set", "lo", "up"]).then_some(made)
    }

    /// Connects a cable to another namespace. `ends` are the addresses here and there.
    fn cable(&self, other: &Self, number: u8, ends: (&str, &str)) -> Option<Cable> {
        let (near, far) = (
            format!("rl{}n{number}", std::process::id() % 9999),
            format!("rl{}f{number}", std::process::id() % 9999),
        );
        let wired = ip(&[
            "link", "add", &near, "netns", &self.0, "type", "veth", "peer", "name", &far, "netns",
            &other.0,
        ]) && [(&self.0, &near, ends.0), (&other.0, &far, ends.1)].iter().all(
            |(space, link, addr)| {
                ip(&["-n", space, "addr", "add", &format!("{addr}/24"), "dev", link])
                    && ip(&["-n", space, "link", "set", link, "up"])
            },
        );
        wired.then(|| Cable { space: self.0.clone(), near })
    }

    fn route_through(&self, gateway: &str) -> bool {
        ip(&["-n", &self.0, "route", "add", "default", "via", gateway])
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

/// A child process that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip")
        .args(args)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

pub fn relay_binary() -> Option<PathBuf> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/relay/bin/iroh-relay");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("iroh-relay"));
    std::env::var_os("RIALTO_RELAY")
        .map(PathBuf::from)
        .into_iter()
        .chain([built])
        .chain(on_path)
        .find(|file| file.exists())
}

/// Reads a child's lines until one begins with `begins`, and returns it.
pub fn said(child: &mut Running, begins: &str) -> String {
    let out = child.0.stdout.as_mut().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(1, out);
    loop {
        line.clear();
        assert!(
            reader.read_line(&mut line).unwrap() > 0,
            "the process ended before it said {begins}"
        );
        if let Some(rest) = line.trim().strip_prefix(begins) {
            return rest.to_owned();
        }
    }
}
