//! The file as it is meant: every value checked, nothing declared twice. References to tenants and roles
//! are resolved against the database later, because a tenant may be there already.

use std::collections::BTreeSet;

use oauth::client::{Keys, Metadata, SECRET_MAX, SECRET_MIN, display_name};
use oauth::ids::ClientId;
use oauth::secret::Client as ClientSecret;
use oauth::{Hashed, Scope as ScopeName, scope};
use secrecy::{ExposeSecret as _, SecretString};

use super::file;
use super::protocol::{self, DetailType, ExchangePolicy};
use crate::failure::Failure;

/// A value and where in the file it stands.
pub(super) struct Located<T> {
    pub(super) path: String,
    pub(super) value: T,
}

/// A tenant's slug where something refers to it.
pub(super) type Slug = Located<String>;

pub(super) struct Plan {
    pub(super) tenants: Vec<Tenant>,
    pub(super) people: Vec<Person>,
    pub(super) scopes: Vec<Scope>,
    pub(super) audiences: Vec<Audience>,
    pub(super) clients: Vec<Client>,
    pub(super) issuers: Vec<Slug>,
    pub(super) detail_types: Vec<DetailType>,
    pub(super) policies: Vec<ExchangePolicy>,
    pub(super) invitations: Vec<Invitation>,
}

pub(super) struct Invitation {
    pub(super) tenant: Slug,
    /// The canonical spelling.
    pub(super) account: Located<String>,
}

pub(super) struct Tenant {
    pub(super) slug: String,
    pub(super) name: String,
}

pub(super) struct Person {
    pub(super) email: String,
    pub(super) email_key: String,
    pub(super) email_verified: bool,
    pub(super) password: Option<SecretString>,
    pub(super) given_name: Option<String>,
    pub(super) family_name: Option<String>,
    pub(super) name: Option<String>,
    pub(super) picture: Option<String>,
    pub(super) locale: Option<String>,
    pub(super) memberships: Vec<Membership>,
    pub(super) platform_roles: Vec<Located<String>>,
}

pub(super) struct Membership {
    pub(super) tenant: Slug,
    pub(super) roles: Vec<Located<String>>,
}

pub(super) struct Scope {
    pub(super) tenant: Slug,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) default: bool,
}

pub(super) struct Audience {
    pub(super) tenant: Slug,
    pub(super) identifier: String,
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
}

pub(super) struct Client {
    pub(super) path: String,
    pub(super) tenant: Option<Slug>,
    pub(super) id: ClientId,
    pub(super) metadata: Metadata,
    pub(super) secret: Option<Hashed<ClientSecret>>,
}

impl Plan {
    /// `api` is the audience of the management API, which only clients of the platform may name.
    pub(super) fn of(declared: file::Declared, api: &str) -> Result<Self, Failure> {
        let plan = Self {
            tenants: each("tenants", declared.tenants, tenant)?,
            people: each("users", declared.users, person)?,
            scopes: each("scopes", declared.scopes, scope)?,
            audiences: each("audiences", declared.audiences, |path, given| {
                audience(path, given, api)
            })?,
            clients: each("clients", declared.clients, |path, given| client(path, given, api))?,
            issuers: each("issuers", declared.issuers, protocol::issuer)?,
            detail_types: each(
                "authorization_detail_types",
                declared.authorization_detail_types,
                protocol::detail_type,
            )?,
            policies: each("exchange_policies", declared.exchange_policies, |path, given| {
                protocol::policy(path, given, api)
            })?,
            invitations: each("invitations", declared.invitations, invitation)?,
        };
        once(
            "invitations",
            "email",
            plan.invitations.iter().map(|one| (&one.tenant.value, &one.account.value)),
        )?;
        once("issuers", "tenant", plan.issuers.iter().map(|one| &one.value))?;
        once(
            "authorization_detail_types",
            "type",
            plan.detail_types.iter().map(|one| (&one.tenant.value, &one.name)),
        )?;
        once("tenants", "slug", plan.tenants.iter().map(|one| &one.slug))?;
        once("users", "email", plan.people.iter().map(|one| &one.email_key))?;
        once("scopes", "name", plan.scopes.iter().map(|one| (&one.tenant.value, &one.name)))?;
        once(
            "audiences",
            "identifier",
            plan.audiences.iter().map(|one| (&one.tenant.value, &one.identifier)),
        )?;
        once("clients", "client_id", plan.clients.iter().map(|one| &one.id))?;
        Ok(plan)
    }
}

fn each<G, T>(
    list: &str,
    given: Vec<G>,
    mean: impl Fn(&str, G) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let numbered = given.into_iter().enumerate();
    numbered.map(|(index, one)| mean(&format!("{list}[{index}]"), one)).collect()
}

fn once<K: Ord>(list: &str, field: &str, keys: impl Iterator<Item = K>) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            return Err(Failure::value(format!("{list}[{index}].{field}"), "declared twice"));
        }
    }
    Ok(())
}

fn tenant(path: &str, given: file::Tenant) -> Result<Tenant, Failure> {
    Ok(Tenant {
        slug: slug(format!("{path}.slug"), given.slug)?.value,
        name: title(format!("{path}.name"), &given.name)?,
    })
}

pub(super) fn slug(path: String, value: String) -> Result<Slug, Failure> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let valid = (1..=63).contains(&value.len())
        && value.bytes().all(legal)
        && !value.starts_with('-')
        && !value.ends_with('-');
    if !valid {
        let problem = "1 to 63 of a-z, 0-9 and -, not beginning or ending with -";
        return Err(Failure::value(path, problem));
    }
    Ok(Located { path, value })
}

/// A name that people see.
fn title(path: String, text: &str) -> Result<String, Failure> {
    display_name(text).map_err(|error| Failure::value(path, error.problem))
}

fn person(path: &str, given: file::User) -> Result<Person, Failure> {
    let at = |field: &str| format!("{path}.{field}");
    let email_key = oauth::account::email_key(&given.email)
        .ok_or_else(|| Failure::value(at("email"), "not an e-mail address"))?;
    if given.password.as_ref().is_some_and(|password| {
        let length = password.expose_secret().len();
        length == 0 || length > oauth::password::BYTES_MAX
    }) {
        return Err(Failure::value(at("password"), "1 to 1024 bytes"));
    }
    let locale = text(at("locale"), given.locale, 35)?;
    if locale.as_ref().is_some_and(|tag| {
        !tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    }) {
        return Err(Failure::value(at("locale"), "not a language tag such as pt-BR (RFC 5646)"));
    }
    let picture = text(at("picture"), given.picture, 2000)?;
    if picture
        .as_ref()
        .is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://"))
    {
        return Err(Failure::value(at("picture"), "not an http or https URL"));
    }
    let memberships = each(&at("memberships"), given.memberships, membership)?;
    once(&at("memberships"), "tenant", memberships.iter().map(|one| &one.tenant.value))?;
    Ok(Person {
        email: given.email.trim().to_owned(),
        email_key,
        email_verified: given.email_verified,
        password: given.password,
        given_name: text(at("given_name"), given.given_name, 200)?,
        family_name: text(at("family_name"), given.family_name, 200)?,
        name: text(at("name"), given.name, 200)?,
        picture,
        locale,
        memberships,
        platform_roles: located(&at("platform_roles"), given.platform_roles),
    })
}

/// Text of at most `max` characters without controls, which PostgreSQL and terminals both dislike; empty is
/// absent.
fn text(path: String, value: Option<String>, max: usize) -> Result<Option<String>, Failure> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    if value.chars().count() > max || value.chars().any(char::is_control) {
        return Err(Failure::value(path, format!("at most {max} characters without controls")));
    }
    Ok(Some(value))
}

fn located(list: &str, values: Vec<String>) -> Vec<Located<String>> {
    let numbered = values.into_iter().enumerate();
    numbered.map(|(index, value)| Located { path: format!("{list}[{index}]"), value }).collect()
}

fn membership(path: &str, given: file::Membership) -> Result<Membership, Failure> {
    Ok(Membership {
        tenant: slug(format!("{path}.tenant"), given.tenant)?,
        roles: located(&format!("{path}.roles"), given.roles),
    })
}

fn invitation(path: &str, given: file::Invitation) -> Result<Invitation, Failure> {
    let at = |field: &str| format!("{path}.{field}");
    let value = oauth::account::email_key(&given.email)
        .ok_or_else(|| Failure::value(at("email"), "not an e-mail address"))?;
    Ok(Invitation {
        tenant: slug(at("tenant"), given.tenant)?,
        account: Located { path: at("email"), value },
    })
}

fn scope_name(path: &str, text: String) -> Result<String, Failure> {
    match ScopeName::try_from(text) {
        Ok(name) => Ok(name.into()),
        Err(error) => Err(Failure::value(path, error.to_string())),
    }
}

fn scope(path: &str, given: file::Scope) -> Result<Scope, Failure> {
    let at = |field: &str| format!("{path}.{field}");
    let name = scope_name(&at("name"), given.name)?;
    if name == scope::ADMIN || name == scope::CIBA {
        return Err(Failure::value(at("name"), "reserved for the platform"));
    }
    Ok(Scope {
        tenant: slug(at("tenant"), given.tenant)?,
        name,
        description: text(at("description"), Some(given.description), 500)?.unwrap_or_default(),
        default: given.default,
    })
}

/// What can be the `aud` of a token.
pub(super) fn audience_text(path: String, text: String) -> Result<String, Failure> {
    if !(1..=255).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::value(path, "1 to 255 printable ASCII characters"));
    }
    Ok(text)
}

fn audience(path: &str, given: file::Audience, api: &str) -> Result<Audience, Failure> {
    let at = |field: &str| format!("{path}.{field}");
    let identifier = audience_text(at("identifier"), given.identifier)?;
    if identifier == api {
        return Err(Failure::value(at("identifier"), "the management API belongs to the platform"));
    }
    let name = match given.name {
        Some(name) => title(at("name"), &name)?,
        None => identifier.chars().take(100).collect(),
    };
    let scopes = each(&at("scopes"), given.scopes, scope_name)?;
    Ok(Audience { tenant: slug(at("tenant"), given.tenant)?, identifier, name, scopes })
}

fn client(path: &str, mut given: file::Client, api: &str) -> Result<Client, Failure> {
    let at = |field: &str| format!("{path}.{field}");
    let tenant = given.tenant.take().map(|value| slug(at("tenant"), value)).transpose()?;
    let id = std::mem::take(&mut given.client_id);
    let id = id.parse().map_err(|error: oauth::ids::InvalidClientId| {
        Failure::value(at("client_id"), error.to_string())
    })?;
    let secret = given.client_secret.take();
    let metadata = Metadata::try_from(given.into_draft())
        .map_err(|error| Failure::value(at(error.field), error.problem))?;
    if tenant.is_some() && metadata.audiences.iter().any(|audience| audience == api) {
        let problem = "the management API is for clients of the platform";
        return Err(Failure::value(at("audiences"), problem));
    }
    if let Some(Keys::Inline(keys)) = &metadata.keys {
        // Registration is where somebody can still be told.
        keys.iter()
            .try_for_each(signer::client_key::check)
            .map_err(|error| Failure::value(at("jwks"), error.to_string()))?;
    }
    let secret = match (metadata.has_secret(), secret) {
        (false, None) => None,
        (false, Some(_)) => {
            let problem = "a client that is public, or signs, has no secret";
            return Err(Failure::value(at("client_secret"), problem));
        }
        (true, None) => {
            let problem =
                "missing; only token_endpoint_auth_method none and private_key_jwt have none";
            return Err(Failure::value(at("client_secret"), problem));
        }
        (true, Some(secret)) => Some(hashed(at("client_secret"), &secret)?),
    };
    Ok(Client { path: path.to_owned(), tenant, id, metadata, secret })
}

fn hashed(path: String, secret: &SecretString) -> Result<Hashed<ClientSecret>, Failure> {
    let secret = secret.expose_secret();
    if secret.chars().count() < SECRET_MIN || secret.len() > SECRET_MAX {
        return Err(Failure::value(path, format!("{SECRET_MIN} characters to {SECRET_MAX} bytes")));
    }
    Ok(Hashed::of(secret))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
