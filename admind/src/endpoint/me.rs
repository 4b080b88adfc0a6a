//! `/api/v1/me`: who the caller is and what they may do.

use http::StatusCode;
use serde::Serialize;
use web::response::json;
use web::{Request, Response};

use crate::app::App;
use crate::failure::Failure;
use crate::operator::caller;

#[derive(Serialize)]
struct Me {
    id: String,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    client_id: String,
    auth_time: i64,
    assignments: Vec<Assignment>,
}

#[derive(Serialize)]
struct Assignment {
    role: String,
    /// Null: the platform.
    tenant: Option<String>,
    permissions: Vec<String>,
}

pub(crate) async fn show(app: &App, request: &Request) -> Result<Response, Failure> {
    let caller = caller(app, request).await?;
    let assignment = |own: crate::store::Assignment| Assignment {
        role: own.role,
        tenant: own.tenant.map(|tenant| tenant.to_string()),
        permissions: own.permissions,
    };
    let me = Me {
        id: caller.user.to_string(),
        email: caller.email,
        name: caller.name,
        client_id: caller.client_id,
        auth_time: caller.auth_time.0,
        assignments: caller.assignments.into_iter().map(assignment).collect(),
    };
    Ok(json(StatusCode::OK, &me))
}
