//! `rialto up`, `down`, `wallet` and `config` as real processes: a market that survives being
//! killed.
#![allow(clippy::unwrap_used)]

mod home;

use home::{Home, kill};

#[test]
fn a_local_market_survives_a_kill() {
    let home = Home::new();
    assert_eq!(home.fails(&["wallet", "balance"]), (3, "C-MKT-001".into()));
    assert_eq!(home.fails(&["down"]), (1, "C-UP-004".into()));
    let up = home.ok(&["up", "--detach", "--providers", "1"]);
    assert_eq!(up["account"], "1000000000");
    assert_eq!(home.fails(&["up"]), (1, "C-UP-001".into()));
    let explained = home.ok(&["wallet", "withdraw", "10", "--explain"]);
    assert!(explained["sent"] == false && explained["gas"].as_u64().unwrap() > 21_000);
    assert_eq!(home.ok(&["wallet", "withdraw", "10"])["market"], "990000000");
    assert_eq!(home.fails(&["wallet", "deposit", "11"]), (5, "W-013".into()));

    kill(&up["up"]["pid"]);
    assert_eq!(home.fails(&["wallet", "balance"]), (3, "C-MKT-004".into()));
    let again = home.ok(&["up", "--detach", "--providers", "2"]);
    assert_eq!(again["up"]["market"], up["up"]["market"]);
    assert_eq!(again["account"], "990000000", "money outlives the process, and comes only once");
    assert_eq!(home.ok(&["wallet", "deposit", "all"])["market"], "1000000000");
    let config = home.ok(&["config", "show"]);
    assert_eq!((&config["local"], &config["account"]), (&true.into(), &up["up"]["requester"]));

    assert_eq!(home.ok(&["down"])["was_up"], true);
    home.ok(&["down", "--wipe"]);
    assert!(!home.0.path().join("local").exists());
}

#[test]
fn keys_are_kept_encrypted_and_mistakes_named() {
    let home = Home::new();
    let pass = home.secret("pass", "correct horse\n");
    let wrong = home.secret("wrong", "battery\n");
    assert_eq!(home.fails(&["wallet", "create"]), (4, "W-011".into()), "nobody types");
    let made = home.ok(&["wallet", "create", "--passphrase-file", &pass]);
    let account = made["account"].as_str().unwrap();
    let keystore = std::fs::read_to_string(made["keystore"].as_str().unwrap()).unwrap();
    assert!(keystore.contains("\"crypto\"") && keystore.contains("\"version\":3"));
    assert_eq!(home.ok(&["wallet", "list"])["accounts"][0], account);
    let key = home.secret("key", &format!("{:064x}", 7));
    let import = ["wallet", "import", "--key-file", &key, "--passphrase-file", &pass];
    assert_eq!(home.ok(&import)["account"], "0xd41c057fd1c78805aac12b0a94a405c0461a6fbb");
    assert_eq!(home.fails(&import), (4, "W-008".into()));
    std::fs::write(&key, "7").unwrap();
    assert_eq!(home.fails(&import), (4, "W-009".into()));

    let place =
        ["--rpc", "http://127.0.0.1:1", "--market", "0x0000000000000000000000000000000000000001"];
    let with = |more: &[&'static str]| [&place[..], more].concat();
    assert_eq!(home.fails(&with(&["provide"])), (4, "W-005".into()), "two accounts");
    let mut provide = with(&["provide"]);
    provide.extend(["--account", account, "--passphrase-file", &wrong]);
    assert_eq!(home.fails(&provide), (4, "W-006".into()));
    assert_eq!(
        home.fails(&with(&[
            "wallet",
            "balance",
            "--account",
            "0x0000000000000000000000000000000000000009"
        ])),
        (4, "W-003".into())
    );
    assert_eq!(
        home.fails(&["--rpc", "nonsense", "--market", place[3], "config", "show"]),
        (2, "C-MKT-003".into())
    );
    assert_eq!(
        home.fails(&["--rpc", "http://127.0.0.1:1", "config", "show"]),
        (2, "C-MKT-002".into())
    );

    home.ok(&["config", "init"]);
    assert_eq!(home.fails(&["config", "init"]), (2, "C-CFG-005".into()));
    std::fs::write(home.0.path().join("config.toml"), "[market]\nadress = \"x\"").unwrap();
    assert_eq!(home.fails(&["config", "show"]), (2, "C-CFG-004".into()));
}
