//! A person at a browser without script: follows redirects within the site, fills in forms by the names
//! of their fields, stops where it is sent elsewhere.

use url::Url;

use crate::client::Client;
use crate::html::{Markup, forms, texts};
use crate::http::Response;

/// More redirects than any of our flows has.
const REDIRECTS_MAX: usize = 10;

/// What the browser shows.
#[derive(Clone, Debug)]
pub struct Page {
    /// The address bar.
    pub url: String,
    /// The answer behind the page.
    pub response: Response,
    /// Set when the site sent the browser to another origin: nobody was asked there.
    pub away: Option<String>,
}

impl Page {
    /// The text of each element of a name, such as `h1`.
    pub fn texts(&self, element: &str) -> Vec<String> {
        texts(&self.response.text(), element)
    }

    /// The value of a field, hidden ones included.
    pub fn field(&self, name: &str) -> Option<String> {
        let forms = forms(&self.response.text());
        forms.iter().flat_map(|form| &form.fields).find(|f| f.name == name).map(|f| f.value.clone())
    }

    /// Where the site sent the browser away to.
    #[track_caller]
    pub fn away(&self) -> Url {
        let Some(away) = &self.away else {
            panic!("still at {}: {} {}", self.url, self.response.status, self.response.text());
        };
        Url::parse(away).unwrap_or_else(|error| panic!("{away}: {error}"))
    }

    /// A parameter of the address that the browser was sent away to, from its query.
    #[track_caller]
    pub fn away_parameter(&self, name: &str) -> Option<String> {
        self.away().query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    }
}

/// The browser.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    page: Option<Page>,
}

impl Browser {
    /// A browser with a client's cookies and trust.
    pub fn new(client: Client) -> Self {
        Self { client, page: None }
    }

    /// The client, for its cookies and for requests beside the page.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// What is shown now.
    pub fn page(&self) -> &Page {
        self.page.as_ref().expect("a page was opened")
    }

    /// Type an address.
    pub fn open(&mut self, url: &str) -> &Page {
        let response = self.client.get_with(url, ("sec-fetch-site", "none".to_owned()));
        self.follow(url, response)
    }

    /// Fill in the form that has all these fields, and press the button among them or the first one.
    #[track_caller]
    pub fn submit(&mut self, values: &[(&str, &str)]) -> &Page {
        let page = self.page().clone();
        let html = page.response.text();
        let Some((form, pairs)) = forms(&html).into_iter().find_map(|form| {
            let pairs = filled(&form, values)?;
            Some((form, pairs))
        }) else {
            panic!("no form with {values:?} at {}: {html}", page.url);
        };
        let here = Url::parse(&page.url).unwrap();
        let mut target = here.join(&form.action).unwrap();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        if form.method == "get" {
            target.query_pairs_mut().clear().extend_pairs(&pairs);
            let response = self.client.get(target.as_str());
            return self.follow(target.as_str(), response);
        }
        let headers = [
            ("origin", here.origin().ascii_serialization()),
            ("sec-fetch-site", "same-origin".to_owned()),
        ];
        let response = self.client.post_with(target.as_str(), &headers, &pairs);
        self.follow(target.as_str(), response)
    }

    /// Take a response as the answer to an address, and follow where it redirects on the same origin.
    fn follow(&mut self, url: &str, response: Response) -> &Page {
        let mut url = Url::parse(url).unwrap();
        let mut response = response;
        for _ in 0..REDIRECTS_MAX {
            // 307 and 308 would repeat the POST, its password included: none of ours may be one.
            assert!(!matches!(response.status, 307 | 308), "{url} answers {}", response.status);
            if !matches!(response.status, 301..=303) {
                return self.show(url, response, None);
            }
            let target = url.join(response.location()).unwrap();
            if target.origin() != url.origin() {
                let away = target.to_string();
                return self.show(url, response, Some(away));
            }
            response = self.client.get(target.as_str());
            url = target;
        }
        panic!("more than {REDIRECTS_MAX} redirects, the last to {url}");
    }

    fn show(&mut self, url: Url, response: Response, away: Option<String>) -> &Page {
        self.page.insert(Page { url: url.into(), response, away })
    }
}

/// What the form sends with these values, or nothing when it lacks one of them.
fn filled(form: &Markup, values: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    let button = form
        .buttons
        .iter()
        .find(|(name, value)| values.contains(&(name.as_str(), value.as_str())))
        .or_else(|| form.buttons.first());
    let mut pairs = Vec::new();
    let mut used = 0;
    for field in &form.fields {
        let ticked = values.contains(&(field.name.as_str(), field.value.as_str()));
        let given = values.iter().find(|(name, _)| *name == field.name);
        match given {
            // A box has its own value; anything else takes the one that is given.
            Some(_) if ticked => pairs.push((field.name.clone(), field.value.clone())),
            Some((_, value)) if field.sent => pairs.push((field.name.clone(), (*value).to_owned())),
            None if field.sent => pairs.push((field.name.clone(), field.value.clone())),
            Some(_) | None => continue,
        }
        used += usize::from(given.is_some());
    }
    if let Some((name, value)) = button.filter(|(name, _)| !name.is_empty()) {
        used += usize::from(values.contains(&(name.as_str(), value.as_str())));
        pairs.push((name.clone(), value.clone()));
    }
    (used >= values.len()).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<form method="post" action="/a"><input type="hidden" name="csrf" value="t">
        <input name="email"><input type="checkbox" name="scope" value="profile">
        <input type="checkbox" name="scope" value="email" checked>
        <button name="choice" value="allow">Allow</button><button name="choice" value="deny">Deny</button></form>"#;

    fn pairs(values: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        filled(&forms(PAGE)[0], values)
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn hidden_fields_go_along_and_the_first_button_is_pressed() {
        let sent = pairs(&[("email", "x")]).unwrap();
        assert_eq!(
            sent,
            owned(&[("csrf", "t"), ("email", "x"), ("scope", "email"), ("choice", "allow")])
        );
    }

    #[test]
    fn a_button_is_chosen_by_its_value() {
        let sent = pairs(&[("choice", "deny")]).unwrap();
        assert_eq!(sent.last().unwrap(), &("choice".to_owned(), "deny".to_owned()));
    }

    #[test]
    fn a_form_without_the_field_is_not_the_one() {
        assert_eq!(pairs(&[("password", "x")]), None);
        assert_eq!(pairs(&[("choice", "maybe")]), None);
    }
}
