//! The small commands that look at files and change them.

use sha2::{Digest, Sha256};

use super::commands::CommandOutput;
use super::files::{HostFiles, PathError};

/// Runs a file command; `None` if there is no such command.
pub(super) fn run(files: &HostFiles, name: &str, arguments: &[&str], stdin: &[u8]) -> Option<CommandOutput> {
    let paths: Vec<&str> = arguments.iter().filter(|word| !word.starts_with('-')).copied().collect();
    let flag = |letter: char| {
        arguments.iter().any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter))
    };
    Some(match name {
        "cat" => cat(files, &paths, stdin),
        "ls" => list(files, &paths),
        "mkdir" => each(name, &paths, |path| files.make_directory(path)),
        "rm" | "rmdir" => remove(files, name, &paths, flag('f'), flag('r') || flag('R')),
        "mv" => pairs(name, &paths, |from, to| files.rename(from, to)),
        "cp" => pairs(name, &paths, |from, to| copy(files, from, to)),
        "touch" => {
            each(name, &paths, |path| if files.exists(path) { Ok(()) } else { files.write(path, "", 0o644) })
        }
        "test" | "[" => {
            CommandOutput { status: i32::from(!test(files, arguments)), ..CommandOutput::default() }
        }
        "grep" => grep(files, &paths, flag('q')),
        "stat" => stat(files, arguments),
        "sha256sum" => digest(files, &paths),
        "chmod" => chmod(files, arguments),
        "echo" => CommandOutput::ok(format!("{}\n", arguments.join(" "))),
        "printf" => CommandOutput::ok(arguments.join(" ").replace("\\n", "\n")),
        "tee" => each(name, &paths, |path| files.write(path, stdin, 0o644)),
        "false" => CommandOutput::fail(1, ""),
        "true" | "sync" | "modprobe" | "sysctl" | "swapoff" | "chown" | "restorecon" => {
            CommandOutput::default()
        }
        "uname" => CommandOutput::ok("Linux\n"),
        _ => return None,
    })
}

fn each(name: &str, paths: &[&str], act: impl Fn(&str) -> Result<(), PathError>) -> CommandOutput {
    for path in paths {
        if let Err(error) = act(path) {
            return CommandOutput::fail(1, format!("{name}: {error}"));
        }
    }
    CommandOutput::default()
}

fn pairs(name: &str, paths: &[&str], act: impl Fn(&str, &str) -> Result<(), PathError>) -> CommandOutput {
    let Some((to, from)) = paths.split_last().filter(|(_, from)| !from.is_empty()) else {
        return CommandOutput::fail(1, format!("{name}: missing destination file operand"));
    };
    each(name, from, |from| act(from, to))
}

fn copy(files: &HostFiles, from: &str, to: &str) -> Result<(), PathError> {
    let file = files.read(from).ok_or_else(|| PathError::NotFound(from.to_owned()))?;
    let to = match files.is_directory(to) {
        true => format!("{to}/{}", from.rsplit('/').next().unwrap_or_default()),
        false => to.to_owned(),
    };
    files.write(&to, &file.content, file.mode)
}

fn cat(files: &HostFiles, paths: &[&str], stdin: &[u8]) -> CommandOutput {
    let mut output = CommandOutput::default();
    if paths.is_empty() {
        output.stdout = stdin.to_vec();
    }
    for path in paths {
        match files.read(path) {
            Some(file) => output.stdout.extend_from_slice(&file.content),
            None => return CommandOutput::fail(1, format!("cat: {path}: No such file or directory")),
        }
    }
    output
}

fn list(files: &HostFiles, paths: &[&str]) -> CommandOutput {
    let mut text = String::new();
    for path in if paths.is_empty() { &["/"] } else { paths } {
        if files.is_directory(path) {
            text.extend(files.list(path).into_iter().map(|name| name + "\n"));
        } else if files.exists(path) {
            text += &format!("{path}\n");
        } else {
            return CommandOutput::fail(2, format!("ls: cannot access '{path}': No such file or directory"));
        }
    }
    CommandOutput::ok(text)
}

fn remove(files: &HostFiles, name: &str, paths: &[&str], force: bool, recursive: bool) -> CommandOutput {
    for path in paths {
        let expanded: Vec<String> = match path.strip_suffix("/*") {
            Some(directory) => {
                files.list(directory).into_iter().map(|name| format!("{directory}/{name}")).collect()
            }
            None => vec![(*path).to_owned()],
        };
        for path in expanded {
            if files.is_directory(&path) && !recursive && name == "rm" {
                return CommandOutput::fail(1, format!("rm: cannot remove '{path}': Is a directory"));
            }
            if !files.remove(&path) && !force {
                return CommandOutput::fail(
                    1,
                    format!("{name}: cannot remove '{path}': No such file or directory"),
                );
            }
        }
    }
    CommandOutput::default()
}

fn test(files: &HostFiles, arguments: &[&str]) -> bool {
    let words: Vec<&str> = arguments.iter().filter(|word| **word != "]").copied().collect();
    match words.as_slice() {
        ["!", rest @ ..] => !test(files, rest),
        ["-e", path] => files.exists(path),
        ["-d", path] => files.is_directory(path),
        ["-f" | "-r" | "-w", path] => files.read(path).is_some(),
        ["-x", path] => files.read(path).is_some_and(|file| file.mode & 0o111 != 0),
        ["-s", path] => files.read(path).is_some_and(|file| !file.content.is_empty()),
        ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        [left, "=" | "==", right] => left == right,
        [left, "!=", right] => left != right,
        _ => false,
    }
}

/// Lines that hold a plain text; what would be a pattern is none here.
fn grep(files: &HostFiles, words: &[&str], quiet: bool) -> CommandOutput {
    let [text, path] = words else {
        return CommandOutput::fail(2, "grep: a text and one file are understood");
    };
    let Some(content) = files.read_text(path) else {
        return CommandOutput::fail(2, format!("grep: {path}: No such file or directory"));
    };
    let found: String =
        content.lines().filter(|line| line.contains(text)).map(|line| format!("{line}\n")).collect();
    let status = i32::from(found.is_empty());
    let stdout = if quiet { Vec::new() } else { found.into_bytes() };
    CommandOutput { status, stdout, ..CommandOutput::default() }
}

fn stat(files: &HostFiles, arguments: &[&str]) -> CommandOutput {
    let format = arguments
        .iter()
        .position(|word| matches!(*word, "-c" | "--format"))
        .and_then(|at| arguments.get(at + 1).copied())
        .or_else(|| arguments.iter().find_map(|word| word.strip_prefix("--format=")));
    let paths = arguments.iter().filter(|word| !word.starts_with('-') && Some(**word) != format);
    let mut text = String::new();
    for path in paths {
        let Some(file) = files.read(path).or_else(|| {
            let directory = super::files::FileEntry { content: Vec::new().into(), mode: 0o755 };
            files.is_directory(path).then_some(directory)
        }) else {
            return CommandOutput::fail(1, format!("stat: cannot statx '{path}': No such file or directory"));
        };
        let line = format.unwrap_or("%n %s %a");
        text += &line
            .replace("%n", path)
            .replace("%s", &file.content.len().to_string())
            .replace("%a", &format!("{:o}", file.mode))
            .replace("%U", "root")
            .replace("%G", "root")
            .replace("%u", "0")
            .replace("%g", "0");
        text.push('\n');
    }
    CommandOutput::ok(text)
}

fn digest(files: &HostFiles, paths: &[&str]) -> CommandOutput {
    let mut text = String::new();
    for path in paths {
        match files.read(path) {
            Some(file) => text += &format!("{}  {path}\n", hex::encode(Sha256::digest(&file.content))),
            None => return CommandOutput::fail(1, format!("sha256sum: {path}: No such file or directory")),
        }
    }
    CommandOutput::ok(text)
}

fn chmod(files: &HostFiles, arguments: &[&str]) -> CommandOutput {
    let Some((mode, paths)) = arguments.split_first() else {
        return CommandOutput::fail(1, "chmod: missing operand");
    };
    let Ok(mode) = u32::from_str_radix(mode, 8) else { return CommandOutput::default() };
    each("chmod", paths, |path| {
        let file = files.read(path).ok_or_else(|| PathError::NotFound(path.to_owned()))?;
        files.write(path, &file.content, mode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_moved_and_tested() {
        let files = HostFiles::new();
        files.write("/etc/a", "x", 0o600).unwrap();
        let status = |name: &str, arguments: &[&str]| run(&files, name, arguments, b"").unwrap().status;
        assert_eq!(status("mkdir", &["-p", "/b"]), 0);
        assert_eq!(status("mv", &["/etc/a", "/b"]), 0);
        assert_eq!(status("test", &["-e", "/b/a"]), 0);
        assert_eq!(status("[", &["!", "-e", "/etc/a", "]"]), 0);
        assert_eq!(run(&files, "stat", &["-c", "%a", "/b/a"], b"").unwrap().stdout, b"600\n");
        assert_eq!(status("rm", &["/nothing"]), 1);
        assert_eq!(status("rm", &["-rf", "/b"]), 0);
        assert!(run(&files, "unheard-of", &[], b"").is_none());
    }
}
