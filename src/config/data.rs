//! `[data]`: where this service keeps what outlives it.

use std::path::PathBuf;

use super::{Origin, reader::Reader, value::Value};

/// Our own directory below the one for everybody's state.
const OWN: &str = "feishu-id";

/// Where this service keeps what outlives it.
#[derive(Clone, Debug, Default)]
pub struct DataConfig {
    /// The directory. `None` if nobody says, and there is no home to keep it in.
    pub dir: Option<PathBuf>,
}

impl DataConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        const KEY: &str = "data.dir";
        if reader.origin(KEY).is_some() {
            let found = reader.optional::<PathBuf>(KEY);
            let dir = found.map(|(path, origin)| super::beside(&path, &origin));
            return Self { dir };
        }
        reader.know(KEY);
        let dir = default_dir(reader);
        reader.show(KEY, dir.as_ref().map(Value::show), Origin::Default);
        Self { dir }
    }
}

/// As the XDG base directories say, which ignore what is not absolute.
fn default_dir(reader: &Reader) -> Option<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(reader.user_place(name)?);
        path.is_absolute().then_some(path)
    };
    let home = || Some(absolute("HOME")?.join(".local/state"));
    let state = absolute("XDG_STATE_HOME").or_else(home)?;
    Some(state.join(OWN))
}
