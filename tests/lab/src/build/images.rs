//! The container images: the built programs under the names that kubeadm and the manifests ask for.

use super::archive::{self, Image, Layer};
use super::programs::KUBERNETES;
use super::report::Progress;
use super::store;
use crate::cache::{Cache, Key};
use crate::error::{LabError, Result};
use crate::machine::record::Role;
use crate::run::{command, succeed};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Changed whenever this file makes other images from the same programs.
const RECIPE: &str = "8";

/// The archive of what every machine has.
pub const EVERYWHERE: &str = "everywhere.tar";
/// The archive of what control planes have as well.
pub const CONTROL_PLANE: &str = "control-plane.tar";

/// The sandbox image, as kubeadm of this release names it.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10.1";
/// The web server and client of the lab's workloads.
pub const WEB: &str = "replank.dev/lab/web:1";

/// The stand-in for the operator of that release.
const OPERATOR: &str = "replank.dev/lab/tigera/operator:v1.38.6";
/// The release of Calico whose names the stand-in bears.
const CALICO: &str = "v3.30.3";

/// Who runs what upstream's manifests want run as nobody in particular.
const NOBODY: u32 = 999;

const IPTABLES: [&str; 6] =
    ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];

/// The archives, written if they are not there.
///
/// # Errors
/// When a file can't be read or written.
pub(super) fn build(cache: &Cache, bin: &Path, key: &str, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let mut whole = Key::default();
    whole.add(key.as_bytes());
    whole.add(RECIPE.as_bytes());
    whole.add(store::SCRIPT.as_bytes());
    cache.folder(&format!("images-{}", whole.finish()), |into| {
        progress.say("writing the container images");
        archive::write(&into.join(EVERYWHERE), &everywhere(bin)?)?;
        archive::write(&into.join(CONTROL_PLANE), &control_plane(bin))?;
        store::make(into, Role::Worker, &[EVERYWHERE])?;
        store::make(into, Role::ControlPlane, &[EVERYWHERE, CONTROL_PLANE])
    })
}

fn program(bin: &Path, name: &str) -> Layer {
    Layer::default().file(&bin.join(name), &format!("/usr/local/bin/{name}"))
}

/// An image of one static program.
fn single(name: String, bin: &Path, run: &str) -> Image {
    Image {
        names: vec![name],
        entrypoint: vec![format!("/usr/local/bin/{run}")],
        user: 0,
        layers: vec![Layer::default().folder("/tmp", 0o1777), program(bin, run)],
    }
}

fn everywhere(bin: &Path) -> Result<Vec<Image>> {
    let tools = tools(bin)?;
    let shell = shell()?;
    let with = |layers: Vec<Layer>, name: &str, entrypoint: &[&str]| Image {
        names: vec![name.to_owned()],
        entrypoint: entrypoint.iter().map(|w| (*w).to_owned()).collect(),
        user: 0,
        layers,
    };
    let mut images = vec![
        single(PAUSE.into(), bin, "pause"),
        single(WEB.into(), bin, "web"),
        single("registry.k8s.io/coredns/coredns:v1.12.1".into(), bin, "coredns"),
        with(
            vec![shell.clone(), tools.clone(), program(bin, "kube-proxy")],
            &format!("registry.k8s.io/kube-proxy:{KUBERNETES}"),
            &["/usr/local/bin/kube-proxy"],
        ),
        with(
            vec![
                shell.clone(),
                tools,
                Layer::default()
                    .file(&bin.join("flanneld"), "/opt/bin/flanneld")
                    .file(&bin.join("install-conf"), "/opt/bin/install-conf"),
            ],
            "ghcr.io/flannel-io/flannel:v0.28.9",
            &["/opt/bin/flanneld"],
        ),
        with(
            vec![shell, Layer::default().file(&bin.join("flannel"), "/flannel")],
            "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel3",
            &[],
        ),
    ];
    images.extend(calico(bin));
    Ok(images)
}

/// The stand-in for Calico under the names of Calico's images and under one of our own: upstream's
/// manifest installs it as it is.
fn calico(bin: &Path) -> Vec<Image> {
    let names = |name: &str| {
        ["replank.dev/lab/calico", "docker.io/calico", "quay.io/calico"]
            .into_iter()
            .map(|registry| format!("{registry}/{name}:{CALICO}"))
            .collect()
    };
    let stand_in = bin.join("calico");
    let base = Layer::default().folder("/tmp", 0o1777).file(&stand_in, "/usr/bin/calico-node");
    let link = |layer: Layer, path: &str| layer.link("/usr/bin/calico-node", path);
    let plugins = ["bandwidth", "host-local", "loopback", "portmap"]
        .into_iter()
        .fold(Layer::default(), |layer, name| layer.file(&bin.join(name), &format!("/opt/cni/bin/{name}")));
    let plugins = ["calico", "calico-ipam", "install"]
        .into_iter()
        .fold(plugins, |layer, name| link(layer, &format!("/opt/cni/bin/{name}")));
    let node = link(Layer::default(), "/bin/calico-node");
    let controllers = link(link(Layer::default(), "/usr/bin/kube-controllers"), "/usr/bin/check-status");
    let operator = link(link(Layer::default(), "/usr/bin/operator"), "/usr/bin/check-status");
    let image = |names: Vec<String>, run: &str, user: u32, own: Layer| Image {
        names,
        entrypoint: vec![run.to_owned()],
        user,
        layers: vec![base.clone(), own],
    };
    vec![
        image(names("node"), "/usr/bin/calico-node", 0, node),
        image(names("cni"), "/opt/cni/bin/install", 0, plugins),
        image(names("kube-controllers"), "/usr/bin/kube-controllers", NOBODY, controllers),
        image(vec![OPERATOR.into()], "/usr/bin/operator", NOBODY, operator),
    ]
}

fn control_plane(bin: &Path) -> Vec<Image> {
    let mut images: Vec<Image> = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        .into_iter()
        .map(|name| single(format!("registry.k8s.io/{name}:{KUBERNETES}"), bin, name))
        .collect();
    let mut etcd = single("registry.k8s.io/etcd:3.6.5-0".into(), bin, "etcd");
    etcd.layers.push(program(bin, "etcdctl"));
    etcd.layers.push(program(bin, "etcdutl"));
    etcd.entrypoint.clear();
    images.push(etcd);
    images
}

/// A static busybox under the names that init containers use.
fn shell() -> Result<Layer> {
    let busybox = installed(&["/usr/bin/busybox", "/bin/busybox"], "busybox-static")?;
    let layer = Layer::default().folder("/tmp", 0o1777).file(&busybox, "/bin/busybox");
    Ok(["sh", "cp", "mv", "cat", "ls", "mkdir", "rm", "sleep"]
        .into_iter()
        .fold(layer, |layer, name| layer.link("busybox", &format!("/bin/{name}"))))
}

/// iptables and nft as this machine has them, with every library they load.
fn tools(bin: &Path) -> Result<Layer> {
    let xtables = installed(&["/usr/sbin/xtables-nft-multi"], "iptables")?;
    let nft = installed(&["/usr/sbin/nft"], "nftables")?;
    let mut layer = Layer::default()
        .file(&xtables, "/usr/sbin/xtables-nft-multi")
        .file(&nft, "/usr/sbin/nft")
        .folder("/run", 0o755);
    for name in IPTABLES {
        layer = layer.link("xtables-nft-multi", &format!("/usr/sbin/{name}"));
    }
    let mut libraries: BTreeSet<PathBuf> = BTreeSet::new();
    let extensions = xtables_folder().ok_or_else(|| missing("iptables"))?;
    for entry in std::fs::read_dir(&extensions).map_err(LabError::file(&extensions))?.flatten() {
        libraries.insert(entry.path());
    }
    let programs = [xtables, nft, bin.join("flanneld")];
    let loading: Vec<PathBuf> = programs.into_iter().chain(libraries.iter().cloned()).collect();
    libraries.extend(loaded(&loading)?);
    for library in &libraries {
        let real = library.canonicalize().map_err(LabError::file(library))?;
        layer = layer.file(&real, &library.to_string_lossy());
    }
    Ok(layer)
}

/// Where iptables looks for its extensions, by the name that is compiled into it.
fn xtables_folder() -> Option<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").ok()?;
    libraries.flatten().map(|e| e.path().join("xtables")).find(|folder| folder.is_dir())
}

/// The libraries that the dynamic linker would load for any of these, itself included.
fn loaded(programs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let text = succeed("ldd", command("ldd", &[]).args(programs))?;
    // A line that ends in a colon names one of the programs.
    let paths = text.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    Ok(paths.map(PathBuf::from).collect())
}

fn installed(places: &[&str], package: &str) -> Result<PathBuf> {
    places.iter().map(PathBuf::from).find(|p| p.exists()).ok_or_else(|| missing(package))
}

fn missing(package: &str) -> LabError {
    LabError::Missing(vec![format!("the package {package} is not installed: apt-get install {package}")])
}
