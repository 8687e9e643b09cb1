//! A real libvirtd with QEMU, in namespaces of the test's own.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What runs libvirtd; its argument is a folder for everything that libvirtd writes.
pub const SCRIPT: &str = include_str!("libvirtd.sh");

/// How long libvirtd may take until it answers. The first question makes it ask QEMU what it can do.
const START: Duration = Duration::from_secs(90);

/// The packages without which there is no libvirt here.
const PROGRAMS: [(&str, &str); 4] = [
    ("/usr/sbin/libvirtd", "libvirt-daemon"),
    (
        "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
        "libvirt-daemon-driver-qemu",
    ),
    ("/usr/bin/virsh", "libvirt-clients"),
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
];

/// Why there can be no libvirtd here, if there can't.
pub fn missing() -> Option<String> {
    if let Some((path, package)) = PROGRAMS.iter().find(|(path, _)| !Path::new(path).exists()) {
        return Some(format!("there is no {path}: install {package}"));
    }
    let mut private = Command::new("unshare");
    private.args(["--mount", "--net", "--pid", "--fork", "true"]).stderr(Stdio::null());
    match private.status() {
        Ok(status) if status.success() => None,
        _ => Some("no mount, network and process namespaces can be made: run it as root".into()),
    }
}

/// A libvirtd of one test. It ends, with every guest, when this is dropped and when this process ends.
pub struct Site {
    folder: tempfile::TempDir,
    first: Child,
}

impl Site {
    /// Starts one with an empty pool and a network of its own, in which nothing else is.
    pub fn new() -> Self {
        let mut first = Command::new("setpriv");
        first.args(["--pdeathsig", "KILL", "unshare", "--net"]);
        Self::within(first)
    }

    /// Starts one with an empty pool, by a command that takes the words of another and runs it in some network.
    pub fn within(mut first: Command) -> Self {
        let folder = tempfile::Builder::new().prefix("rp-libvirt-").tempdir().expect("a folder");
        let log = std::fs::File::create(folder.path().join("libvirtd.log")).expect("a log");
        first.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        first.args(["sh", "-c", SCRIPT, "libvirtd.sh"]).arg(folder.path());
        let log_too = log.try_clone().expect("a log");
        first.stdin(Stdio::null()).stdout(log).stderr(log_too);
        let site = Self { first: first.spawn().expect("it starts"), folder };
        site.until_it_answers();
        std::fs::create_dir(site.path("pool")).expect("a folder");
        let pool = site.path("pool").display().to_string();
        site.virsh(&["pool-create-as", "pool", "dir", "--target", &pool]);
        site
    }

    fn until_it_answers(&self) {
        let begun = Instant::now();
        while !self.ask(&["capabilities"]).0 {
            let log = std::fs::read_to_string(self.path("libvirtd.log")).unwrap_or_default();
            assert!(begun.elapsed() < START, "libvirtd gives no answer; it says: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.path("run/libvirt-sock").display())
    }

    fn ask(&self, words: &[&str]) -> (bool, String) {
        let mut virsh = Command::new("virsh");
        virsh.args(["--quiet", "--connect", &self.uri()]).args(words).env("LC_ALL", "C");
        let output = virsh.output().expect("virsh starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// Runs virsh, which must succeed.
    pub fn virsh(&self, words: &[&str]) -> String {
        let (well, said) = self.ask(words);
        assert!(well, "virsh {words:?}: {said}");
        said
    }

    /// An image, raw bytes, whose boot sector halts the processor: it costs the host nothing.
    pub fn image_that_halts(&self) {
        // cli; hlt; jmp to the hlt.
        self.image(&[0xfa, 0xf4, 0xeb, 0xfd]);
    }

    /// An image, raw bytes, with this program in its boot sector.
    pub fn image(&self, program: &[u8]) {
        let mut sector = program.to_vec();
        sector.resize(510, 0);
        sector.extend([0x55, 0xaa]);
        let file = self.path("sector");
        std::fs::write(&file, sector).expect("it is written");
        self.virsh(&["vol-create-as", "pool", "image", "1M", "--format", "raw"]);
        self.virsh(&["vol-upload", "--pool", "pool", "image", &file.display().to_string()]);
    }

    /// A domain that others made, as a user's old node is one; off.
    pub fn define(&self, xml: &str) -> String {
        let file = self.path("definition.xml");
        std::fs::write(&file, xml).expect("it is written");
        self.virsh(&["define", &file.display().to_string()]);
        let name = xml.split("<name>").nth(1).and_then(|rest| rest.split("</name>").next()).expect("a name");
        self.virsh(&["domuuid", name])
    }

    /// Settings for this libvirtd.
    pub fn settings(&self, more: Value) -> Value {
        let mut settings = json!({
            "uri": self.uri(), "pool": "pool", "image": "image", "state": self.path("state"),
            // There is no other on most machines for tests.
            "acceleration": "emulated",
        });
        for (key, value) in more.as_object().expect("settings") {
            settings[key] = value.clone();
        }
        settings
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

/// An old node with a disk of its own, and further devices.
pub fn old_node(name: &str, disk: &Path, format: &str, devices: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
        <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
        <devices><disk type='file' device='disk'><driver name='qemu' type='{format}'/><source file='{}'/>
        <target dev='vda' bus='virtio'/></disk>{devices}</devices></domain>",
        disk.display()
    )
}
