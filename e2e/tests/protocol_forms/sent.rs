//! The requests, sent otherwise than they should be.

use super::*;

#[test]
fn w93_a_form_has_one_type_at_every_endpoint() {
    let stand = quiet();
    let made = make(&stand);
    assert_all_there(&made.all);
    let mut wire = Line::open(&stand);
    for good in &made.all {
        let before = digest(&stand);
        let body = good.body(&[]);
        for kind in TYPES {
            let what = format!("{} as {kind:?}", good.path);
            let answer = good.send(&mut wire, kind, (good.path, &body));
            assert_no_token(&answer);
            match good.path {
                // No redirect is safe, and nothing that could be read as one.
                "/oauth/authorize" => assert_page(&answer),
                _ => assert_eq!(answer.status, 415, "{what}: {}", answer.text()),
            }
            if good.reader == Reader::Person {
                assert_own_page(&answer);
            }
        }
        // Twice, and each of them would do.
        let mut good_twice = good.headers.clone();
        good_twice.push(("content-type", FORM.to_owned()));
        let twice = Good { headers: good_twice, form: good.form.clone(), ..*good };
        let answer = twice.send(&mut wire, Some(FORM), (good.path, &body));
        assert!([400, 401, 415].contains(&answer.status), "{}: {}", good.path, answer.status);
        assert_eq!(digest(&stand), before, "{}", good.path);
    }
    all_are_good(&made, &mut wire);
}

#[test]
fn w92_w94_no_parameter_comes_twice_or_in_the_query_at_any_endpoint() {
    let stand = quiet();
    let made = make(&stand);
    assert_all_there(&made.all);
    assert_every_parameter(&made.all);
    let mut wire = Line::open(&stand);
    for good in &made.all {
        let before = digest(&stand);
        for (name, value) in &good.form {
            if ["resource", "audience"].contains(name) {
                continue;
            }
            for other in [value.as_str(), "something-else", ""] {
                sql(&stand, "DELETE FROM throttles");
                let what = format!("{name} twice at {}", good.path);
                let answer = good.send_round(&mut wire, &good.body(&[(name, other)]));
                refused(good, name, &answer, &what);
            }
            let rest: Vec<(&str, &str)> = good
                .form
                .iter()
                .filter(|(own, _)| own != name)
                .map(|(n, v)| (*n, v.as_str()))
                .collect();
            let target = format!("{}?{}", good.path, query(&[(name, value.as_str())]));
            let answer = good.send(&mut wire, Some(FORM), (&target, &query(&rest)));
            assert_no_token(&answer);
            assert!(answer.status == 400 || answer.status == 401, "{target}: {}", answer.status);
        }
        let page = good.reader == Reader::Person && !good.path.starts_with("/oauth/");
        for name in ELSEWHERE.iter().chain(&["x"]).filter(|_| !page) {
            let answer = good.send_round(&mut wire, &good.body(&[(name, "1"), (name, "1")]));
            beside(good, name, &answer);
        }
        assert_eq!(digest(&stand), before, "{}", good.path);
    }
    all_are_good(&made, &mut wire);
}

/// What a repeated parameter is answered.
#[track_caller]
fn refused(good: &Good, name: &str, answer: &Response, what: &str) {
    assert_no_token(answer);
    match (good.reader, good.path) {
        (Reader::Machine, _) => {
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
            assert_error_body(answer, "invalid_request");
        }
        // Where it is not sure whose request it is, or where to, nobody is sent anywhere (W8).
        (Reader::Person, "/oauth/authorize") if ["client_id", "redirect_uri"].contains(&name) => {
            assert_page(answer);
        }
        (Reader::Person, "/oauth/authorize") => {
            let state = good.form.iter().find(|(own, _)| *own == "state").map(|(_, v)| v.as_str());
            let state = state.filter(|_| name != "state");
            assert_red(answer, &WHOLE, "invalid_request", state);
        }
        (Reader::Person, _) => {
            assert!([200, 400, 403].contains(&answer.status), "{what}: {}", answer.status);
        }
    }
}

/// What a parameter that the request does not need is answered, when it comes twice: the same, whether it is known or
/// not, wherever a program speaks.
#[track_caller]
fn beside(good: &Good, name: &str, answer: &Response) {
    match (good.reader, good.path) {
        // Who asks comes before what is asked, and two proofs are none.
        (Reader::Machine, _) if name.starts_with("client_") => {
            assert!(
                [400, 401].contains(&answer.status),
                "{name} at {}: {}",
                good.path,
                answer.status
            );
        }
        (Reader::Machine, _) => assert_tok(answer, "invalid_request"),
        (Reader::Person, "/oauth/authorize") if name == "request_uri" => assert_page(answer),
        (Reader::Person, "/oauth/authorize") => {
            let state = good.form.iter().find(|(own, _)| *own == "state").map(|(_, v)| v.as_str());
            assert_red(answer, &WHOLE, "invalid_request", state);
        }
        (Reader::Person, "/oauth/logout") if name == "id_token_hint" => assert_page(answer),
        // Begun by a link on any page: what is not known there is not looked at.
        (Reader::Person, _) => assert!([303, 400].contains(&answer.status), "{name}"),
    }
}

/// The requests as they are do what they should: what was refused was refused for what was wrong with it.
#[track_caller]
fn all_are_good(made: &Made<'_>, wire: &mut Line) {
    sql(made.stand, "DELETE FROM throttles");
    for good in &made.all {
        let answer = good.send(wire, Some(FORM), (good.path, &good.body(&[])));
        assert_eq!(answer.status, good.status, "{}: {}", good.path, answer.text());
    }
}
