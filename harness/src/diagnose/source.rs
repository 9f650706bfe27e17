//! Where the files of a recorded state come from: a folder, a single file, an archive, or standard
//! input.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path};

use crashbook_detector::facts::{Log, LogLine};
use flate2::read::MultiGzDecoder;

/// The largest file of JSON that is read.
const MAX_JSON_BYTES: u64 = 512 << 20;
/// The largest file of anything else: YAML takes many times its size to be read.
const MAX_OTHER_BYTES: u64 = 64 << 20;
/// How much of a file tells what it is.
const START_BYTES: u64 = 4 << 10;
/// How much an archive may unpack to.
const MAX_UNPACKED_BYTES: u64 = 2 << 30;
/// How many files there may be.
const MAX_FILES: usize = 1 << 18;
/// How much is read of the end of a log that can be read from its end: the most that is kept.
const LOG_TAIL_BYTES: u64 = (Log::MAX_LINES * LogLine::MAX_BYTES) as u64;

/// The bytes that a gzip stream starts with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file's content, not yet read.
pub(super) enum Content<'a> {
    /// On disk.
    File(File),
    /// Comes by once.
    Stream(&'a mut dyn Read),
}

impl Content<'_> {
    /// All of it, up to a bound, which for what does not look like JSON is much lower. What is
    /// larger, or is no text at all, is not read to its end.
    pub(super) fn whole(self) -> io::Result<Vec<u8>> {
        match self {
            Content::File(mut file) => {
                let size = file.metadata()?.len();
                let mut start = Vec::new();
                (&file).take(START_BYTES).read_to_end(&mut start)?;
                let most = most_bytes(&start)?;
                if size > most {
                    return Err(too_large(most));
                }
                file.seek(SeekFrom::Start(0))?;
                all_of(file, Vec::new(), most)
            }
            Content::Stream(stream) => {
                let mut start = Vec::new();
                (&mut *stream).take(START_BYTES).read_to_end(&mut start)?;
                let most = most_bytes(&start)?;
                all_of(stream, start, most)
            }
        }
    }

    /// Gives its last lines to this function, cut at the longest that is kept; all lines where it
    /// can only be read from its start.
    pub(super) fn last_lines(self, each: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Content::Stream(stream) => lines(BufReader::new(stream), each),
            Content::File(mut file) => {
                let size = file.metadata()?.len();
                let mut reader = match size.checked_sub(LOG_TAIL_BYTES) {
                    None | Some(0) => BufReader::new(file),
                    Some(skipped) => {
                        // From the byte before, so that a line that starts here is whole.
                        file.seek(SeekFrom::Start(skipped - 1))?;
                        let mut reader = BufReader::new(file);
                        if skip_line(&mut reader)? {
                            reader
                        } else {
                            // One line without an end.
                            let mut file = reader.into_inner();
                            file.seek(SeekFrom::End(-(LogLine::MAX_BYTES as i64)))?;
                            BufReader::new(file)
                        }
                    }
                };
                lines(&mut reader, each)
            }
        }
    }

    /// Gives its lines to this function, in order, cut at the longest that is kept.
    pub(super) fn all_lines(self, each: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Content::File(file) => lines(BufReader::new(file), each),
            Content::Stream(stream) => lines(BufReader::new(stream), each),
        }
    }
}

/// How much may be read of a file that starts with this.
fn most_bytes(start: &[u8]) -> io::Result<u64> {
    if start.contains(&0) {
        return Err(io::Error::other("it is not text"));
    }
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(match first {
        Some(b'{' | b'[') => MAX_JSON_BYTES,
        _ => MAX_OTHER_BYTES,
    })
}

/// What was read, and what follows, up to a bound.
fn all_of(rest: impl Read, mut content: Vec<u8>, most: u64) -> io::Result<Vec<u8>> {
    let left = (most + 1).saturating_sub(content.len() as u64);
    rest.take(left).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(too_large(most));
    }
    Ok(content)
}

fn too_large(most: u64) -> io::Error {
    io::Error::other(format!("it is larger than {} MiB", most >> 20))
}

/// Goes past the end of the line; false where none has one.
fn skip_line(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                reader.consume(end + 1);
                return Ok(true);
            }
            None => {
                let all = buffer.len();
                reader.consume(all);
            }
        }
    }
}

/// Gives every line to this function, without ever holding more of one than is kept of it.
fn lines(mut reader: impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            if !line.is_empty() {
                each(&line);
            }
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        // Room for a timestamp and for an end of line beside what is kept.
        let room = (LogLine::MAX_BYTES + 64).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let consumed = part.len() + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            each(&line);
            line.clear();
        }
    }
}

/// Says what the files are, one by one.
pub(super) trait Visitor {
    /// One file, by its path from the input's root.
    fn file(&mut self, path: &str, content: Content<'_>);
    /// Something that is not read, and why.
    fn pass_over(&mut self, path: &str, because: String);
}

/// Visits every file of an input, in the order of their paths where there is one.
///
/// # Errors
///
/// When the input itself cannot be read; what cannot be read within it is passed over.
pub(super) fn visit(input: &Path, visitor: &mut impl Visitor) -> io::Result<()> {
    if input == Path::new("-") {
        return visit_stream("standard input", io::stdin().lock(), visitor);
    }
    if fs::metadata(input)?.is_dir() {
        return visit_folder(input, visitor);
    }
    let mut file = File::open(input)?;
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let mut magic = Vec::new();
    (&file).take(GZIP.len() as u64).read_to_end(&mut magic)?;
    if magic == GZIP {
        visit_stream(&name, magic.chain(file), visitor)
    } else if file.seek(SeekFrom::Start(0)).is_ok() {
        visitor.file(&name, Content::File(file));
        Ok(())
    } else {
        // A pipe.
        visit_stream(&name, magic.chain(file), visitor)
    }
}

fn visit_stream(name: &str, stream: impl Read, visitor: &mut impl Visitor) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    if stream.fill_buf()?.starts_with(&GZIP) {
        return visit_archive(name, stream, visitor);
    }
    visitor.file(name, Content::Stream(&mut stream));
    Ok(())
}

fn visit_folder(root: &Path, visitor: &mut impl Visitor) -> io::Result<()> {
    // What is still to be visited, the first last.
    let mut left = Vec::new();
    push_entries(root, &mut left)?;
    let mut files = 0;
    while let Some(path) = left.pop() {
        let name = relative(root, &path);
        let visited = (|| {
            let link = fs::symlink_metadata(&path)?.is_symlink();
            let metadata = fs::metadata(&path)?;
            if metadata.is_dir() {
                if link {
                    return Err(io::Error::other(
                        "a link to a folder, which is not followed",
                    ));
                }
                return push_entries(&path, &mut left);
            }
            if !metadata.is_file() {
                return Err(io::Error::other("not a regular file"));
            }
            files += 1;
            if files <= MAX_FILES {
                visitor.file(&name, Content::File(File::open(&path)?));
            }
            Ok(())
        })();
        if let Err(error) = visited {
            visitor.pass_over(&name, error.to_string());
        }
        if files > MAX_FILES {
            visitor.pass_over(&name, format!("there are more than {MAX_FILES} files"));
            break;
        }
    }
    Ok(())
}

fn push_entries(folder: &Path, left: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable_by(|a, b| b.cmp(a));
    left.extend(entries);
    Ok(())
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

fn visit_archive(name: &str, stream: impl Read, visitor: &mut impl Visitor) -> io::Result<()> {
    let unpacked = Bounded {
        inner: MultiGzDecoder::new(stream),
        left: MAX_UNPACKED_BYTES,
    };
    let mut archive = tar::Archive::new(unpacked);
    for (index, entry) in archive.entries()?.enumerate() {
        let mut entry = match entry {
            Ok(entry) => entry,
            // Nothing after it can be found.
            Err(error) if index == 0 => return Err(error),
            Err(error) => {
                visitor.pass_over(name, format!("the rest of the archive: {error}"));
                break;
            }
        };
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if index >= MAX_FILES {
            visitor.pass_over(&path, format!("there are more than {MAX_FILES} files"));
            break;
        }
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let leads_out = Path::new(&path)
            .components()
            .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
        if leads_out {
            visitor.pass_over(&path, "its path leads out of the archive".to_owned());
        } else if !kind.is_file() {
            visitor.pass_over(&path, "not a regular file".to_owned());
        } else {
            let path = path.trim_start_matches("./");
            visitor.file(path, Content::Stream(&mut entry));
        }
    }
    Ok(())
}

/// Fails once more has been read than it may.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let limit = MAX_UNPACKED_BYTES >> 30;
            return Err(io::Error::other(format!(
                "it unpacks to more than {limit} GiB"
            )));
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_without_end_is_cut_off() {
        let mut bounded = Bounded {
            inner: io::repeat(0),
            left: 100,
        };
        let mut content = Vec::new();
        let error = bounded.read_to_end(&mut content).unwrap_err();
        assert_eq!(content.len(), 100);
        assert!(
            error.to_string().contains("it unpacks to more than"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_objects_is_not_read_to_its_end() {
        let check = |start: &[u8], expected: &str, most_read: u64| {
            let mut endless = Counted {
                inner: start.chain(io::repeat(start[0])),
                read: 0,
            };
            let error = Content::Stream(&mut endless).whole().unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(endless.read <= most_read, "{}", endless.read);
        };
        check(&[0], "it is not text", START_BYTES);
        check(b"x", "it is larger than 64 MiB", MAX_OTHER_BYTES + 1);
    }

    struct Counted<R> {
        inner: R,
        read: u64,
    }

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.inner.read(buffer)?;
            self.read += read as u64;
            Ok(read)
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut longest = 0;
        let endless = io::repeat(b'x').take(1 << 22);
        lines(BufReader::new(endless), |line| {
            longest = longest.max(line.len())
        })
        .unwrap();
        assert_eq!(longest, LogLine::MAX_BYTES + 64);
    }
}
