//! A person at a browser without script: fills in forms by the names of their fields, follows redirects by hand
//! until one leads away from the issuer.

use openidconnect::url::{Url, form_urlencoded};

use crate::Failure;

const STEPS_MAX: usize = 12;

pub struct Person<'a> {
    pub agent: ureq::Agent,
    pub username: &'a str,
    pub password: &'a str,
}

impl Person<'_> {
    /// Open an address; sign in and agree where asked. Gives where that led, and the forms that were filled in. What
    /// a page would post to another site comes back as that site's address with a query.
    pub fn visit(&self, address: &Url) -> Result<(Url, Vec<String>), Failure> {
        match self.walk(address)? {
            (End::Away(url), forms) => Ok((url, forms)),
            (End::Page(html), _) => Err(format!("no form after {address}: {html}").into()),
        }
    }

    /// Open an address that leads nowhere else; sign in and agree until there is nothing to fill in.
    pub fn settle(&self, address: &Url) -> Result<Vec<String>, Failure> {
        match self.walk(address)? {
            (End::Page(_), forms) => Ok(forms),
            (End::Away(url), _) => Err(format!("sent to {url}").into()),
        }
    }

    fn walk(&self, address: &Url) -> Result<(End, Vec<String>), Failure> {
        let mut forms = Vec::new();
        let mut url = address.clone();
        let mut body: Option<String> = None;
        for _ in 0..STEPS_MAX {
            let answer = match body.take() {
                None => self.agent.get(url.as_str()).call(),
                Some(body) => self
                    .agent
                    .post(url.as_str())
                    .set("content-type", "application/x-www-form-urlencoded")
                    .send_string(&body),
            }?;
            if answer.status() == 303 {
                url = url.join(answer.header("location").ok_or("a redirect without a location")?)?;
                if url.origin() != address.origin() {
                    return Ok((End::Away(url), forms));
                }
                continue;
            }
            let html = answer.into_string()?;
            let Some(form) = Form::of(&html) else { return Ok((End::Page(html), forms)) };
            url = url.join(&form.action)?;
            if form.id == "form-post" {
                url.set_query(Some(&self.fill_in(&form)));
                return Ok((End::Away(url), forms));
            }
            body = Some(self.fill_in(&form));
            forms.push(form.id);
        }
        Err(format!("more than {STEPS_MAX} steps from {address}").into())
    }

    fn fill_in(&self, form: &Form) -> String {
        let mut body = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &form.fields {
            match name.as_str() {
                "username" => body.append_pair(name, self.username),
                "password" => body.append_pair(name, self.password),
                // Two buttons of one name: pressed is the one that agrees.
                "decision" if value != "approve" => &mut body,
                _ => body.append_pair(name, value),
            };
        }
        body.finish()
    }
}

/// Where a walk ended.
enum End {
    Away(Url),
    Page(String),
}

/// The one form of a page.
struct Form {
    id: String,
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    fn of(html: &str) -> Option<Self> {
        let (_, rest) = html.split_once("<form ")?;
        let (inside, _) = rest.split_once("</form>")?;
        let (head, inside) = inside.split_once('>')?;
        let tags = inside.split('<').filter_map(|piece| piece.split_once('>')).map(|(tag, _)| tag);
        let fields = tags
            .filter(|tag| tag.starts_with("input ") || tag.starts_with("button "))
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())))
            .collect();
        Some(Self { id: attribute(head, "id")?, action: attribute(head, "action")?, fields })
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let spaced = format!(" {tag}");
    let (_, rest) = spaced.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("&quot;", "\"").replace("&#38;", "&").replace("&amp;", "&"))
}
