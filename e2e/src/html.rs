//! The forms of a page: as much HTML as our own templates are written in.

use crate::http::Response;

/// A form as a browser would submit it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markup {
    pub(crate) method: String,
    pub(crate) action: String,
    /// Fields that are sent as they stand unless a test fills them in.
    pub(crate) fields: Vec<Field>,
    /// Buttons that submit; at most one is sent.
    pub(crate) buttons: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: String,
    /// False for a box that is not ticked: it is sent only when a test ticks it.
    pub(crate) sent: bool,
}

/// The forms of a page, in order.
pub(crate) fn forms(page: &str) -> Vec<Markup> {
    let mut forms: Vec<Markup> = Vec::new();
    let mut inside = false;
    for tag in tags(page) {
        match tag.name.as_str() {
            "form" => {
                inside = true;
                forms.push(Markup {
                    method: tag.value("method").unwrap_or("get").to_ascii_lowercase(),
                    action: tag.value("action").unwrap_or_default().to_owned(),
                    ..Markup::default()
                });
            }
            "/form" => inside = false,
            "input" | "button" | "select" | "textarea" if inside => {
                if let Some(form) = forms.last_mut() {
                    add(form, &tag);
                }
            }
            _ => {}
        }
    }
    forms
}

/// The value of a field that one of a page's forms has.
pub(crate) fn field(page: &Response, name: &str) -> String {
    let mut fields = forms(&page.text()).into_iter().flat_map(|form| form.fields);
    let field = fields.find(|field| field.name == name);
    field.unwrap_or_else(|| panic!("no {name} in {}", page.text())).value
}

/// The text of a page's elements of one name, tags removed and entities resolved.
pub(crate) fn texts(page: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}"), format!("</{element}>"));
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once(&open) {
        rest = after;
        // What follows the name must end it: `<p` is not `<pre`.
        if !after.starts_with(|c: char| c == '>' || c.is_ascii_whitespace()) {
            continue;
        }
        let Some((inner, next)) = after.split_once(&close) else { break };
        rest = next;
        found.push(plain(inner.split_once('>').map_or("", |(_, text)| text)));
    }
    found
}

fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    unescape(&text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn add(form: &mut Markup, tag: &Tag) {
    let name = tag.value("name").unwrap_or_default().to_owned();
    let kind = tag.value("type").unwrap_or_default().to_ascii_lowercase();
    if tag.value("disabled").is_some() {
        return;
    }
    let submits = (tag.name == "button" && !matches!(kind.as_str(), "button" | "reset"))
        || (tag.name == "input" && kind == "submit");
    if submits {
        form.buttons.push((name, tag.value("value").unwrap_or_default().to_owned()));
        return;
    }
    if name.is_empty() || tag.name == "button" {
        return;
    }
    let ticks = matches!(kind.as_str(), "checkbox" | "radio");
    let value = tag.value("value").unwrap_or(if ticks { "on" } else { "" }).to_owned();
    form.fields.push(Field { name, value, sent: !ticks || tag.value("checked").is_some() });
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn value(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, next)| next);
            continue;
        }
        let (tag, next) = tag(after);
        rest = next;
        tags.push(tag);
    }
    tags
}

/// Read a tag up to its `>`, which may stand in a quoted value without ending it.
fn tag(text: &str) -> (Tag, &str) {
    let end = text.find(|c: char| c == '>' || c.is_ascii_whitespace()).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            break;
        }
        if let Some(next) = rest.strip_prefix('>') {
            rest = next;
            break;
        }
        let end = rest.find(|c: char| "=>/".contains(c) || c.is_ascii_whitespace());
        let (attribute, next) = rest.split_at(end.unwrap_or(rest.len()));
        let (value, next) = match next.strip_prefix('=') {
            Some(next) => value(next),
            None => ("", next),
        };
        // A stray character must not hold us here for ever.
        rest = if attribute.is_empty() && next.len() == rest.len() { "" } else { next };
        attributes.push((attribute.to_ascii_lowercase(), unescape(value)));
    }
    (Tag { name: name.to_ascii_lowercase(), attributes }, rest)
}

fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(text) = text.strip_prefix(quote) {
            return text.split_once(quote).unwrap_or((text, ""));
        }
    }
    text.split_at(text.find(|c: char| c == '>' || c.is_ascii_whitespace()).unwrap_or(text.len()))
}

/// Resolve the character references that askama writes, and their decimal and hexadecimal kin.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let reference = after.split_once(';').filter(|(name, _)| name.len() <= 8);
        let Some((c, next)) = reference.and_then(|(name, next)| Some((character(name)?, next)))
        else {
            out.push('&');
            rest = after;
            continue;
        };
        out.push(c);
        rest = next;
    }
    out + rest
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<!doctype html><!-- <form action="/never"> --><h1>Sign  in <b>&amp; go</b></h1>
        <form method=POST action="/login?a=1&amp;b=2"><input type="hidden" name="csrf" value="&#34;x&#x3e;y">
        <input name='email' type="email" required value="a > b"><input type=checkbox name=keep>
        <input type="radio" name="r" value="2" checked/><textarea name="note"></textarea>
        <button name="choice" value="yes">Yes</button><button type="button" name="no">No</button></form>
        <input name="outside">"#;

    #[test]
    fn a_form_is_read_as_a_browser_would_submit_it() {
        let forms = forms(PAGE);
        assert_eq!(forms.len(), 1);
        let form = &forms[0];
        assert_eq!((form.method.as_str(), form.action.as_str()), ("post", "/login?a=1&b=2"));
        let fields: Vec<_> =
            form.fields.iter().map(|f| (f.name.as_str(), f.value.as_str(), f.sent)).collect();
        assert_eq!(
            fields,
            [
                ("csrf", "\"x>y", true),
                ("email", "a > b", true),
                ("keep", "on", false),
                ("r", "2", true),
                ("note", "", true)
            ]
        );
        assert_eq!(form.buttons, [("choice".to_owned(), "yes".to_owned())]);
    }

    #[test]
    fn text_comes_without_tags_and_with_its_characters() {
        assert_eq!(texts(PAGE, "h1"), ["Sign in & go"]);
        assert_eq!(texts("<pre>x</pre><p class=a>one</p><p>two</p>", "p"), ["one", "two"]);
    }

    #[test]
    fn broken_markup_ends() {
        for page in
            ["<", "<a =", "<form", "<input name=\"", "a < b & c &#xffffff; <!--", "<a /=/ ="]
        {
            let _ = forms(page);
        }
    }
}
