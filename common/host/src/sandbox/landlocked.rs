//! The Landlock rules of a [`Policy`].

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    NetPort, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::{Policy, Sandbox, SandboxError};

/// Files and folders, moving between folders included: what `required` requires.
const HARD: ABI = ABI::V2;
/// Truncation (3), TCP (4), device ioctls (5), signals and abstract sockets (6). Newer ABIs are
/// not asked for until they have been tried.
const SOFT: ABI = ABI::V6;

pub(super) fn restrict(mode: Sandbox, policy: &Policy) -> Result<(), SandboxError> {
    let hard = match mode {
        Sandbox::Required => CompatLevel::HardRequirement,
        Sandbox::Try | Sandbox::Off => CompatLevel::BestEffort,
    };
    let ruleset = Ruleset::default()
        .set_compatibility(hard)
        .handle_access(AccessFs::from_all(HARD))
        .map_err(|_| SandboxError::Missing)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(SOFT))?
        .handle_access(AccessNet::from_all(SOFT))?
        .scope(Scope::from_all(SOFT))?
        .create()?;
    let status = with_rules(ruleset, policy)?.restrict_self()?;
    report(mode, &status)
}

/// Which ABI the kernel has, found by asking for what each of them brought.
pub(super) fn abi() -> u8 {
    let all = [(1, ABI::V1), (2, ABI::V2), (3, ABI::V3), (4, ABI::V4), (5, ABI::V5), (6, ABI::V6)];
    let there = |abi: ABI| {
        let hard = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let files = hard().handle_access(AccessFs::from_all(abi)).is_ok();
        let ports = AccessNet::from_all(abi);
        let net = ports.is_empty() || hard().handle_access(ports).is_ok();
        let scopes = Scope::from_all(abi);
        files && net && (scopes.is_empty() || hard().scope(scopes).is_ok())
    };
    all.into_iter().take_while(|(_, abi)| there(*abi)).last().map_or(0, |(number, _)| number)
}

fn with_rules(ruleset: RulesetCreated, policy: &Policy) -> Result<RulesetCreated, SandboxError> {
    let mut ruleset = ruleset;
    for path in &policy.read {
        ruleset = with_path(ruleset, path, reading())?;
    }
    for path in &policy.write {
        ruleset = with_path(ruleset, path, writing())?;
    }
    for port in &policy.bind_tcp {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    for port in &policy.connect_tcp {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset)
}

fn with_path(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, SandboxError> {
    let refuse = |error| SandboxError::Path(path.to_owned(), error);
    let about = std::fs::metadata(path).map_err(refuse)?;
    // A folder's rights on a file would be dropped with a shrug ("partially enforced"), and
    // that status is how a real loss shows.
    let access = if about.is_dir() { access } else { access & AccessFs::from_file(SOFT) };
    let fd = PathFd::new(path).map_err(|error| refuse(std::io::Error::other(error)))?;
    Ok(ruleset.add_rule(PathBeneath::new(fd, access))?)
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Regular files, folders and sockets; no devices, pipes or symbolic links, and no execution.
fn writing() -> BitFlags<AccessFs> {
    reading()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn report(mode: Sandbox, status: &RestrictionStatus) -> Result<(), SandboxError> {
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => ABI::Unsupported,
    };
    match (&status.ruleset, mode) {
        (RulesetStatus::NotEnforced, Sandbox::Required) => return Err(SandboxError::Missing),
        (RulesetStatus::NotEnforced, Sandbox::Try | Sandbox::Off) => {
            tracing::warn!("the kernel does not enforce Landlock: there is no in-process sandbox");
            return Ok(());
        }
        (RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced, _) => {}
    }
    tracing::info!(
        abi = %abi,
        files = true,
        truncate = abi >= ABI::V3,
        tcp = abi >= ABI::V4,
        devices = abi >= ABI::V5,
        signals_and_abstract_sockets = abi >= ABI::V6,
        "entered the Landlock sandbox",
    );
    Ok(())
}

impl From<landlock::RulesetError> for SandboxError {
    fn from(error: landlock::RulesetError) -> Self {
        Self::Landlock(error)
    }
}
