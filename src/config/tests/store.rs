//! Where answers outlive the process.

use super::*;

fn dir(variables: &[(&str, &str)]) -> Option<String> {
    let loaded = load("data-dir", "", variables).unwrap();
    assert!(loaded.warnings.is_empty());
    let key_file = loaded
        .config
        .data
        .dir
        .as_ref()
        .map(|dir| dir.join("store.key"));
    assert_eq!(loaded.config.cache.key_file, key_file);
    Some(loaded.config.data.dir?.display().to_string())
}

#[test]
fn the_data_directory_is_where_the_users_state_belongs() {
    let both = [("XDG_STATE_HOME", "/state"), ("HOME", "/home/a")];
    assert_eq!(dir(&both).unwrap(), "/state/feishu-id");
    let home = "/home/a/.local/state/feishu-id";
    assert_eq!(dir(&[("HOME", "/home/a")]).unwrap(), home);
    let empty = [("XDG_STATE_HOME", ""), ("HOME", "/home/a")];
    assert_eq!(dir(&empty).unwrap(), home);
    let relative = [("XDG_STATE_HOME", "state"), ("HOME", "/home/a")];
    assert_eq!(dir(&relative).unwrap(), home);
    assert_eq!(dir(&[("HOME", "")]), None);
    assert_eq!(dir(&[]), None);
    let set = [("FEISHU_ID_DATA__DIR", "/data"), ("HOME", "/home/a")];
    assert_eq!(dir(&set).unwrap(), "/data");
}

#[test]
fn relative_paths_in_the_file_count_from_it() {
    let toml = "[data]\ndir = \"state\"\n[cache]\nkey_file = \"keys/store.key\"";
    let config = load("beside", toml, &[]).unwrap().config;
    let directory = std::env::temp_dir().join(format!("feishu-id-{}-beside", std::process::id()));
    assert_eq!(config.data.dir, Some(directory.join("state")));
    assert_eq!(
        config.cache.key_file,
        Some(directory.join("keys/store.key"))
    );
}

#[test]
fn where_everything_lies_is_shown_with_its_origin() {
    let loaded = load("shown", "", &[("HOME", "/home/a")]).unwrap();
    let printed = loaded.effective().to_string();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "dir = \"/home/a/.local/state/feishu-id\" # default",
        "store = \"disk\" # default",
        "key_file = \"/home/a/.local/state/feishu-id/store.key\" # default",
        "serve_stale = \"1day\" # default",
    ] {
        assert!(
            printed.lines().any(|other| words(other) == line),
            "{line}\n{printed}"
        );
    }
    let homeless = load("homeless", "", &[]).unwrap().effective().to_string();
    assert!(homeless.contains("# dir is not set\n"), "{homeless}");
    assert!(homeless.contains("# key_file is not set\n"), "{homeless}");
}

#[test]
fn mistakes_are_told_with_what_can_be_written() {
    let toml = "\
[cache]
store = \"redis\"
serve_stale = \"721h\"
[data]
dir = \"\"
dri = \"/x\"
";
    let told = errors("store", toml, &[("FEISHU_ID_CACHE__KEYFILE", "/x")]);
    let expected = [
        "feishu-id.toml:5: data.dir: must not be empty",
        "feishu-id.toml:2: cache.store: \"redis\" is not available yet: \"disk\" or \"none\"",
        "feishu-id.toml:3: cache.serve_stale: must be from \"0s\" to \"30days\", not \"30days 1h\"",
        "feishu-id.toml:6: data.dri: no such setting; did you mean data.dir?",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    let told = errors("store", "[cache]\nstore = \"file\"", &[]);
    assert!(told.ends_with("cache.store: expected \"disk\" or \"none\""));
    let variables = [("FEISHU_ID_CACHE__KEYFILE", "/x")];
    let warnings = load("store", "", &variables).unwrap().warnings;
    assert!(
        warnings[0].ends_with("did you mean cache.key_file?"),
        "{warnings:?}"
    );
}
