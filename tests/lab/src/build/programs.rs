//! The programs, built from the Go modules that pin them.

use super::report::Progress;
use crate::cache::{Cache, Key};
use crate::error::{LabError, Result};
use crate::run::{checked, command, output};
use std::path::{Path, PathBuf};

/// The Kubernetes release that `modules/kubernetes` pins.
pub const KUBERNETES: &str = "v1.34.4";

/// One Go module of ours and what is built from it.
struct Module {
    folder: &'static str,
    /// Package and the program's name.
    programs: &'static [(&'static str, &'static str)],
    c: Linking,
    /// Whether the programs must be told their release: they refuse to work with `v0.0.0`.
    stamped: Stamp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Linking {
    Static,
    /// Flannel's udp back end is written in C.
    WithC,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stamp {
    Kubernetes,
    None,
}

const MODULES: &[Module] = &[
    Module {
        folder: "etcd",
        programs: &[
            ("go.etcd.io/etcd/server/v3", "etcd"),
            ("go.etcd.io/etcd/etcdctl/v3", "etcdctl"),
            ("go.etcd.io/etcd/etcdutl/v3", "etcdutl"),
        ],
        c: Linking::Static,
        stamped: Stamp::None,
    },
    Module {
        folder: "kubernetes",
        programs: &[
            ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
            ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
            ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
            ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
            ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
            ("k8s.io/kubernetes/cmd/kubeadm", "kubeadm"),
            ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
        ],
        c: Linking::Static,
        stamped: Stamp::Kubernetes,
    },
    Module {
        folder: "cri-tools",
        programs: &[("sigs.k8s.io/cri-tools/cmd/crictl", "crictl")],
        c: Linking::Static,
        stamped: Stamp::None,
    },
    Module {
        folder: "cni",
        programs: &[
            ("github.com/containernetworking/plugins/plugins/main/bridge", "bridge"),
            ("github.com/containernetworking/plugins/plugins/main/loopback", "loopback"),
            ("github.com/containernetworking/plugins/plugins/ipam/host-local", "host-local"),
            ("github.com/containernetworking/plugins/plugins/meta/portmap", "portmap"),
            ("github.com/containernetworking/plugins/plugins/meta/bandwidth", "bandwidth"),
        ],
        c: Linking::Static,
        stamped: Stamp::None,
    },
    Module {
        folder: "cni-flannel",
        programs: &[("github.com/containernetworking/plugins/plugins/meta/flannel", "flannel")],
        c: Linking::Static,
        stamped: Stamp::None,
    },
    Module {
        folder: "flannel",
        programs: &[
            ("github.com/flannel-io/flannel", "flanneld"),
            ("github.com/flannel-io/flannel/cmd/install_conf", "install-conf"),
        ],
        c: Linking::WithC,
        stamped: Stamp::None,
    },
    Module {
        folder: "coredns",
        programs: &[("replank.dev/lab/coredns", "coredns")],
        c: Linking::Static,
        stamped: Stamp::None,
    },
    Module {
        folder: "own",
        programs: &[
            ("replank.dev/lab/own/pause", "pause"),
            ("replank.dev/lab/own/web", "web"),
            ("replank.dev/lab/own/calico", "calico"),
        ],
        c: Linking::Static,
        stamped: Stamp::None,
    },
];

/// Where the modules lie.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("modules")
}

/// Builds what is missing; answers the folder that holds every program, and its key.
///
/// # Errors
/// When something can't be built.
pub(super) fn build(cache: &Cache, progress: &mut Progress<'_>) -> Result<(PathBuf, String)> {
    let go = String::from_utf8_lossy(&output(&mut command("go", &["version"]))?.stdout).trim().to_owned();
    let mut all = Key::default();
    let mut built = Vec::new();
    for module in MODULES {
        let mut key = Key::default();
        key.add(go.as_bytes());
        key.add(KUBERNETES.as_bytes());
        key.add_folder(&modules().join(module.folder))?;
        let key = key.finish();
        all.add(key.as_bytes());
        let name = format!("{}-{key}", module.folder);
        built.push(cache.folder(&name, |into| {
            let programs: Vec<&str> = module.programs.iter().map(|(_, name)| *name).collect();
            progress.say(&format!("building {}", programs.join(", ")));
            module.build(into)
        })?);
    }
    let all = all.finish();
    // One folder for a machine's PATH; hard links, so that nothing lies there twice.
    let bin = cache.folder(&format!("bin-{all}"), |into| {
        for folder in &built {
            for entry in std::fs::read_dir(folder).map_err(LabError::file(folder))?.flatten() {
                let link = into.join(entry.file_name());
                std::fs::hard_link(entry.path(), &link).map_err(LabError::file(&link))?;
            }
        }
        Ok(())
    })?;
    Ok((bin, all))
}

impl Module {
    /// All of its programs at once: one is linked while another is compiled.
    fn build(&self, into: &Path) -> Result<()> {
        let packages: Vec<&str> = self.programs.iter().map(|(package, _)| *package).collect();
        // Minutes of compiling for somebody who is gone would be in everybody's way.
        let mut go = command("setpriv", &["--pdeathsig", "KILL", "go", "build", "-trimpath"]);
        go.args(["-ldflags", &self.flags(), "-o"])
            .arg(into)
            .args(&packages)
            .current_dir(modules().join(self.folder));
        go.env("CGO_ENABLED", if self.c == Linking::WithC { "1" } else { "0" });
        checked(&format!("go build {}", packages.join(" ")), &output(&mut go)?)?;
        for (package, name) in self.programs {
            let (built, wanted) = (into.join(named_by_go(package)), into.join(name));
            std::fs::rename(&built, &wanted).map_err(LabError::file(&built))?;
        }
        Ok(())
    }

    fn flags(&self) -> String {
        let mut flags = "-s -w".to_owned();
        if self.stamped == Stamp::Kubernetes {
            let mut parts = KUBERNETES.trim_start_matches('v').split('.');
            let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
                flags += &format!(
                    " -X {package}.gitVersion={KUBERNETES} -X {package}.gitMajor={major} \
                     -X {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
                );
            }
        }
        flags
    }
}

/// What Go names the program of a package: by the last part of its path that is no major version.
fn named_by_go(package: &str) -> &str {
    let is_version = |part: &&str| part.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
    package.rsplit('/').find(|part| !is_version(part)).unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_major_version_names_no_program() {
        assert_eq!(named_by_go("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(named_by_go("k8s.io/kubernetes/cmd/kubelet"), "kubelet");
    }

    #[test]
    fn the_release_that_programs_are_told_is_the_one_that_is_pinned() {
        let pins = std::fs::read_to_string(modules().join("kubernetes/go.mod")).unwrap();
        assert!(pins.contains(&format!("k8s.io/kubernetes {KUBERNETES}\n")), "{pins}");
    }

    #[test]
    fn every_program_is_pinned_by_its_module() {
        for module in MODULES {
            let folder = modules().join(module.folder);
            for (package, _) in module.programs.iter().filter(|(p, _)| !p.starts_with("replank.dev/")) {
                let tools = std::fs::read_to_string(folder.join("tools.go")).unwrap();
                assert!(
                    tools.contains(&format!("\"{package}\"")),
                    "{package} is missing in {}",
                    module.folder
                );
            }
            assert!(folder.join("go.mod").exists());
        }
    }
}
