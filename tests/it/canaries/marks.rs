//! Whom and what is looked for. Every text holds the mark, every number the digits: no other data of
//! the tests does.

/// In every marked text.
pub const MARK: &str = "zq7";
/// In every marked number.
pub const DIGITS: &str = "1997351864";

/// The tenant that everything general is done with: told of, and looked for to see that it is.
pub const TENANT: &str = "seenacme";

pub const EMAIL: &str = "zq7mail1@zq7dom.example";
pub const NUMBER: &str = "+8619973518641";
/// Two people have it.
pub const TWINS: &str = "zq7twin@zq7dom.example";
/// Has left.
pub const LEFT: &str = "zq7left@zq7dom.example";
pub const NOBODY: &str = "zq7nobody@zq7dom.example";

pub const SECRET: &str = "zq7secretzq7secretzq7secretzq7se";
pub const OTHER_SECRET: &str = "zq7othersecretzq7othersecretzq7o";
pub const TOKEN: &str = "t-zq7tokenzq7tokenzq7tokenzq7token";
pub const PROXY: &str = "http://zq7user:zq7password@127.0.0.1:9";
pub const KEY: &str = "zq7keyzq7keyzq7key";

/// The same people in each of these tenants, as the sandbox reads them.
pub fn directory<'a>(tenants: impl Iterator<Item = &'a str>) -> String {
    let mut csv = "tenant,name,email,mobile,user_id,open_id,union_id,status\n".to_owned();
    for tenant in tenants {
        for (name, email, mobile, id, status) in [
            ("Zq7name One", EMAIL, NUMBER, "1", "active"),
            ("Zq7name Two", TWINS, "+8619973518642", "2", "active"),
            ("Zq7name Three", TWINS, "+8619973518643", "3", "frozen"),
            ("Zq7name Four", LEFT, "+8619973518644", "4", "resigned"),
        ] {
            let ids = [
                format!("zq7uid{id}"),
                format!("ou_zq7oid{id}"),
                format!("on_zq7nid{id}"),
            ];
            let cells = [tenant, name, email, mobile, &ids.join(","), status];
            csv.push_str(&cells.join(","));
            csv.push('\n');
        }
    }
    csv
}

/// Identifiers in many spellings, good and bad.
pub fn identifiers() -> Vec<String> {
    let texts = [
        EMAIL,
        "ZQ7MAIL1@Zq7Dom.example",
        " zq7mail1＠zq7dom.example ",
        NUMBER,
        "199 7351 8641",
        "0086-199-7351-8642",
        TWINS,
        LEFT,
        NOBODY,
        "zq7 mail@zq7dom.example",
        "zq7mail@@zq7dom.example",
        "zq7mail\u{200b}@zq7dom.example",
        "+861997351864",
        "zq7 no number 19973518641",
    ];
    texts.map(str::to_owned).to_vec()
}

/// Every text that must not be found, once for each kind of data.
pub fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        EMAIL,
        "zq7dom",
        NUMBER,
        "19973518641",
        "zq7uid1",
        "ou_zq7oid1",
        "zq7name",
        SECRET,
        TOKEN,
        "zq7password",
        KEY,
    ]
    .map(str::to_owned)
    .to_vec();
    texts.sort();
    texts
}
