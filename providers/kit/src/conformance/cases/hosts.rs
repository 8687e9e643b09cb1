//! `host_run`, `host_read` and `host_write`.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::verbs::{
    HostFile, HostOutput, HostReadParams, HostRunParams, HostWriteParams, Mutation,
};
use replank_provider_protocol::{ErrorCode, MachineId};

cases!("hosts", [Destructive, Like, Fresh]; run_gives_what_was_printed [Hosts], run_needs_no_shell [Hosts],
    run_passes_standard_input [Hosts], run_of_a_failing_command_is_a_result [Hosts],
    run_again_runs_once [Hosts], read_of_a_missing_file_is_null [Hosts],
    write_is_read_back_with_its_mode [Hosts], write_replaces_the_whole_file [Hosts],
    write_removes_and_again_is_done [Hosts], of_an_unknown_machine_is_not_found [Hosts],
    is_invalid_without_it [NoHosts]);

const PATH: &str = "/root/replank-check";

/// `hello\n`
const HELLO: &str = "aGVsbG8K";

async fn run(
    stage: &Stage<'_>,
    machine: &MachineId,
    argv: &[&str],
    stdin: Option<&str>,
    mutation: Option<Mutation>,
) -> Result<HostOutput, Stop> {
    let params = HostRunParams {
        mutation,
        machine: machine.clone(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        stdin: stdin.map(str::to_owned),
    };
    stage.answered("host_run", async || stage.provider().host_run(params.clone()).await).await
}

async fn read(stage: &Stage<'_>, machine: &MachineId) -> Result<Option<HostFile>, Stop> {
    let params = HostReadParams { machine: machine.clone(), path: PATH.into() };
    stage.answered("host_read", async || stage.provider().host_read(params.clone()).await).await
}

async fn write(
    stage: &Stage<'_>,
    what: &str,
    machine: &MachineId,
    file: Option<HostFile>,
) -> Result<(), Stop> {
    let params =
        HostWriteParams { mutation: stage.mutation(what), machine: machine.clone(), path: PATH.into(), file };
    stage.answered("host_write", async || stage.provider().host_write(params.clone()).await).await
}

fn file(content: &str, mode: u32) -> HostFile {
    HostFile { content: content.into(), mode }
}

async fn run_gives_what_was_printed(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let output = run(stage, &machine.id, &["echo", "hello"], None, None).await?;
    ensure(output.status == 0 && output.stdout == HELLO, || format!("`echo hello` gave {output:?}"))
}

async fn run_needs_no_shell(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let output = run(stage, &machine.id, &["echo", "$HOME  *;", "a b"], None, None).await?;
    // `$HOME  *; a b\n`
    ensure(output.stdout == "JEhPTUUgICo7IGEgYgo=", || {
        format!("a shell has touched the arguments `$HOME  *;` and `a b`: {output:?}")
    })
}

async fn run_passes_standard_input(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let output = run(stage, &machine.id, &["cat"], Some(HELLO), None).await?;
    ensure(output.stdout == HELLO, || format!("`cat` did not print its standard input: {output:?}"))
}

async fn run_of_a_failing_command_is_a_result(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    for argv in [&["false"][..], &["cat", "/no/such/file"]] {
        let output = run(stage, &machine.id, argv, None, None).await?;
        ensure(output.status != 0, || format!("{argv:?} must fail, and gave {output:?}"))?;
    }
    Ok(())
}

async fn run_again_runs_once(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let script = format!("echo hello >> {PATH}");
    for _ in 0..2 {
        let output =
            run(stage, &machine.id, &["sh", "-c", &script], None, Some(stage.mutation("append"))).await?;
        ensure(output.status == 0, || format!("`{script}` gave {output:?}"))?;
    }
    let content = read(stage, &machine.id).await?.map(|f| f.content);
    ensure(content.as_deref() == Some(HELLO), || {
        format!("one operation that adds a line, asked twice, left {content:?} (base64)")
    })
}

async fn read_of_a_missing_file_is_null(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let there = read(stage, &machine.id).await?;
    ensure(there.is_none(), || format!("{PATH} was never written and is {there:?}"))
}

async fn write_is_read_back_with_its_mode(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    for (what, mode) in [("secret", 0o600), ("open", 0o644), ("program", 0o755)] {
        let wanted = file(HELLO, mode);
        write(stage, what, &machine.id, Some(wanted.clone())).await?;
        let there = read(stage, &machine.id).await?;
        ensure(there.as_ref() == Some(&wanted), || format!("{wanted:?} was written, and {there:?} read"))?;
    }
    Ok(())
}

async fn write_replaces_the_whole_file(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    write(stage, "long", &machine.id, Some(file(&"AAAA".repeat(30_000), 0o600))).await?;
    write(stage, "short", &machine.id, Some(file(HELLO, 0o600))).await?;
    let there = read(stage, &machine.id).await?.map(|f| f.content);
    ensure(there.as_deref() == Some(HELLO), || "a short file on top of a long one leaves its end".into())
}

async fn write_removes_and_again_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    write(stage, "make", &machine.id, Some(file(HELLO, 0o600))).await?;
    for operation in ["remove", "remove", "remove-too"] {
        write(stage, operation, &machine.id, None).await?;
        let there = read(stage, &machine.id).await?;
        ensure(there.is_none(), || format!("{PATH} was removed and is {there:?}"))?;
    }
    Ok(())
}

async fn of_an_unknown_machine_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    refused(stage, &"rp-check-never-was".into(), ErrorCode::NotFound, "on an unknown machine").await
}

async fn is_invalid_without_it(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    refused(stage, &machine.id, ErrorCode::Invalid, "without capability hosts").await
}

async fn refused(stage: &Stage<'_>, machine: &MachineId, code: ErrorCode, when: &str) -> Result<(), Stop> {
    let params =
        HostRunParams { mutation: None, machine: machine.clone(), argv: vec!["true".into()], stdin: None };
    let ask = async || stage.provider().host_run(params.clone()).await;
    stage.refused(&format!("host_run {when}"), code, ask).await?;
    let params = HostReadParams { machine: machine.clone(), path: PATH.into() };
    let ask = async || stage.provider().host_read(params.clone()).await;
    stage.refused(&format!("host_read {when}"), code, ask).await?;
    let params = HostWriteParams {
        mutation: stage.mutation("write"),
        machine: machine.clone(),
        path: PATH.into(),
        file: None,
    };
    let ask = async || stage.provider().host_write(params.clone()).await;
    stage.refused(&format!("host_write {when}"), code, ask).await.map(drop)
}
