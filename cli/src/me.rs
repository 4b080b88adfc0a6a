//! `opentrusty me`: who is signed in and what they may do.

use http::Method;
use serde::Deserialize;

use crate::api;
use crate::args::Caller;
use crate::failure::Failure;
use crate::output::{plain, say};
use crate::settings::Place;

#[derive(Deserialize)]
struct Me {
    id: String,
    email: String,
    name: Option<String>,
    assignments: Vec<Assignment>,
}

#[derive(Deserialize)]
struct Assignment {
    role: String,
    tenant: Option<String>,
    permissions: Vec<String>,
}

pub(crate) fn run(place: &Place, caller: &Caller) -> Result<(), Failure> {
    let answer = api::call(place, caller, (Method::GET, "me"), None)?;
    let me: Me =
        serde_json::from_value(answer).map_err(|error| Failure::value("me", error.to_string()))?;
    for line in lines(&me) {
        say(line)?;
    }
    Ok(())
}

fn lines(me: &Me) -> Vec<String> {
    let mut lines = vec![format!("{} ({})", plain(&me.email), plain(&me.id))];
    lines.extend(me.name.as_deref().map(|name| format!("name  {}", plain(name))));
    for assignment in &me.assignments {
        let place = match assignment.tenant.as_deref() {
            Some(tenant) => format!("tenant {}", plain(tenant)),
            None => "the platform".to_owned(),
        };
        lines.push(format!("{} of {place}", plain(&assignment.role)));
        lines.extend(assignment.permissions.iter().map(|one| format!("  {}", plain(one))));
    }
    if me.assignments.is_empty() {
        lines.push("no role".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_shown_with_where_they_hold_and_what_they_allow() {
        let me: Me = serde_json::from_str(
            r#"{"id":"1","email":"a@b","name":"A\u001b[31m","client_id":"x","auth_time":1,"assignments":[
                {"role":"platform_admin","tenant":null,"permissions":["platform:manage_keys"]}]}"#,
        )
        .unwrap();
        let expected = [
            "a@b (1)",
            "name  A\u{fffd}[31m",
            "platform_admin of the platform",
            "  platform:manage_keys",
        ];
        assert_eq!(lines(&me), expected);
    }
}
