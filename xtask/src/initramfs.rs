//! Writes initramfs images: cpio archives in the "newc" format, not compressed, which every kernel
//! unpacks.
//!
//! Format: <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>

/// Type and permission bits of a regular file that may be run, as in `st_mode`.
const EXECUTABLE: u32 = 0o100_755;
/// The same of a directory.
const DIRECTORY: u32 = 0o040_755;
/// The same of a character device.
const CHARACTER_DEVICE: u32 = 0o020_600;

/// The archive's last entry.
const TRAILER: &str = "TRAILER!!!";

/// An image being written.
pub(crate) struct Initramfs {
    bytes: Vec<u8>,
    /// Inode numbers; the kernel takes equal ones for hard links.
    entries: u32,
}

impl Initramfs {
    /// An image with `/dev/console`, where the kernel opens the first program's stdio.
    pub(crate) fn new() -> Initramfs {
        let mut image = Initramfs { bytes: Vec::new(), entries: 0 };
        image.directory("dev");
        image.entry("dev/console", CHARACTER_DEVICE, (5, 1), &[]);
        image
    }

    /// Adds a directory; its parent must be there.
    pub(crate) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    /// Adds a file that may be run; its directory must be there.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, EXECUTABLE, (0, 0), content);
    }

    /// The finished image.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("newc files are smaller than 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("a path is short");
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Headers and contents begin at multiples of 4.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_trailed() {
        let mut image = Initramfs::new();
        image.file("init", b"12345");
        let bytes = image.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("070701").count(), 4);
        // 110 bytes of header, "init\0", one byte of padding.
        let init = text.find("init\0").unwrap();
        assert_eq!((init - 110) % 4, 0);
        assert_eq!(&bytes[init + 6..init + 11], b"12345");
    }
}
