//! What every store must do, asked through the seam. A new one calls [`keeps_the_contract`].
#![allow(clippy::unwrap_used)]

use rialto_blobs::{BlobError, Disk, Store, path};
use rialto_protocol::{B256, wire::BlobRef};

/// Bytes that the stores under test hold.
const ROOM: u64 = 10_000;

fn reference(content: &[u8]) -> BlobRef {
    BlobRef { hash: *blake3::hash(content).as_bytes(), size: content.len() as u64 }
}

/// The contract of [`Store`], for an empty one of [`ROOM`].
fn keeps_the_contract(store: &dyn Store) {
    let content = vec![7; 3_000];
    let blob = reference(&content);
    assert!(store.get(blob).is_none());
    assert_eq!(store.put(&mut &content[..], blob.size).unwrap(), blob);
    let held = store.get(blob).unwrap();
    assert_eq!((held.reference(), std::fs::read(held.path()).unwrap()), (blob, content.clone()));
    assert!(store.get(BlobRef { size: 1, ..blob }).is_none(), "of another size");
    assert!(
        matches!(store.put(&mut &content[1..], blob.size), Err(BlobError::Io(_))),
        "too few bytes"
    );

    what_comes_is_checked(store);
    what_is_written_counts(store);

    // What is held stays when room is needed; what is removed goes with its last handle.
    let large = store.put(&mut &vec![1; 8_000][..], 8_000);
    assert!(matches!(large, Err(BlobError::StoreFull { limit: ROOM, .. })));
    let file = held.path().to_owned();
    store.remove(blob);
    assert!(store.get(blob).is_none() && file.exists());
    drop(held);
    assert!(!file.exists());
    store.put(&mut &vec![1; 8_000][..], 8_000).unwrap();
    assert!(store.used_bytes() <= ROOM);
}

fn what_comes_is_checked(store: &dyn Store) {
    let (content, from) = (b"what was asked for".to_vec(), B256::repeat_byte(1));
    let blob = reference(&content);
    let mut wrong = store.partial(from, blob).unwrap();
    wrong.append(&vec![0; content.len()]).unwrap();
    assert!(matches!(wrong.finish(), Err(BlobError::Wrong(hash)) if hash.0 == blob.hash));
    assert!(store.get(blob).is_none());

    let mut cut = store.partial(from, blob).unwrap();
    cut.append(&content[..5]).unwrap();
    drop(cut);
    let mut rest = store.partial(from, blob).unwrap();
    assert_eq!(rest.received(), 5, "it goes on where it was cut");
    rest.append(&content[5..]).unwrap();
    assert_eq!(std::fs::read(rest.finish().unwrap().path()).unwrap(), content);
    store.remove(blob);
}

fn what_is_written_counts(store: &dyn Store) {
    let before = store.used_bytes();
    let mut draft = store.draft().unwrap();
    draft.append(b"one ").unwrap();
    draft.append(b"two").unwrap();
    assert_eq!((draft.written(), store.used_bytes()), (7, before + 7));
    assert_eq!(&draft.read(4, 3).unwrap()[..], b"two");
    let blob = draft.finish().unwrap();
    assert_eq!(blob.reference(), reference(b"one two"));
    store.remove(blob.reference());
    drop(blob);
    let mut dropped = store.draft().unwrap();
    dropped.append(b"nothing").unwrap();
    drop(dropped);
    assert_eq!(store.used_bytes(), before);
}

#[test]
fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path().to_owned(), ROOM).unwrap();
    keeps_the_contract(&disk);
    let blob = disk.put(&mut &b"kept"[..], 4).unwrap();
    assert!(path(folder.path(), blob).exists());
    drop(disk);
    let again = Disk::open(folder.path().to_owned(), ROOM).unwrap();
    assert!(again.get(blob).is_some(), "what an earlier process kept");
}
