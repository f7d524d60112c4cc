//! Blobs: content, access, limits, resumption.

use std::{fs, path::PathBuf, sync::Arc};

use iroh::{
    Endpoint, RelayMode, SecretKey,
    endpoint::{VarInt, presets},
};
use rialto_blobs::{BlobError, Hint, Source};
use rialto_net::{Limits, NetError};
use rialto_protocol::{
    B256,
    wire::{BlobRef, PeerAddr},
};

use crate::{Home, within};

const PLENTY: u64 = 1 << 30;

fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut content);
    content
}

fn reference(content: &[u8]) -> BlobRef {
    BlobRef { hash: *blake3::hash(content).as_bytes(), size: content.len() as u64 }
}

async fn pair() -> (Home, Home) {
    (Home::new(1).await, Home::new(2).await)
}

fn whole_path(home: &Home, blob: BlobRef) -> PathBuf {
    home.folder.path().join("blobs").join(format!("{:x}", B256::from(blob.hash)))
}

fn partial_path(home: &Home, blob: BlobRef, peer: B256) -> PathBuf {
    home.folder.path().join("blobs/partial").join(format!("{:x}-{peer:x}", B256::from(blob.hash)))
}

#[tokio::test]
async fn of_every_size() {
    let (from, to) = pair().await;
    let chunk = rialto_net::limits::CHUNK_BYTES;
    for size in [0, 1, 47, chunk - 1, chunk, chunk + 1, (3 << 20) + 5] {
        let content = noise(size, 1);
        let blob = from.blobs().put_bytes(content.clone()).await.unwrap();
        assert_eq!(blob, reference(&content));
        assert_eq!(from.blobs().read(blob).await.unwrap(), content);
        from.blobs().allow(to.id(), blob).unwrap();
        let fetched = within(to.blobs().fetch(&from.addr(), blob, size as u64)).await.unwrap();
        assert_eq!(fetched.reference(), blob);
        assert_eq!(fetched.read().await.unwrap(), content);
        assert_eq!(fs::read(fetched.path()).unwrap(), content);
    }
}

#[tokio::test]
async fn from_a_file_and_back_over_the_path_of_a_session() {
    let (from, to) = pair().await;
    let file = from.folder.path().join("input");
    fs::write(&file, noise(1 << 20, 2)).unwrap();
    let blob = from.blobs().put_file(&file).await.unwrap();
    assert_eq!(blob, reference(&noise(1 << 20, 2)));
    fs::write(&file, b"changed").unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    // A provider learns a requester's endpoint only from its session.
    let mut session = within(from.connect(&to.addr())).await.unwrap();
    session.send(&crate::sessions::hello(1)).await.unwrap();
    let accepted = within(to.accept()).await.unwrap();
    let fetched = within(to.blobs().fetch(&accepted.peer_addr(), blob, PLENTY)).await.unwrap();
    assert_eq!(fetched.read().await.unwrap(), noise(1 << 20, 2));
    assert!(from.blobs().put_file(from.folder.path().join("missing")).await.is_err());
}

#[tokio::test]
async fn only_for_whom_it_was_allowed() {
    let (from, to) = pair().await;
    let other = Home::new(3).await;
    let blob = from.blobs().put_bytes(noise(1000, 1)).await.unwrap();
    let second = from.blobs().put_bytes(noise(1000, 2)).await.unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    let denied = |result| matches!(result, Err(NetError::BlobDenied(_)));
    assert!(denied(within(other.blobs().fetch(&from.addr(), blob, PLENTY)).await), "a stranger");
    assert!(denied(within(to.blobs().fetch(&from.addr(), second, PLENTY)).await), "another blob");
    within(to.blobs().fetch(&from.addr(), blob, PLENTY)).await.unwrap();
    to.blobs().remove(blob);
    assert!(to.blobs().get(blob).is_none());
    from.blobs().revoke(to.id(), blob);
    from.blobs().revoke(to.id(), blob);
    assert!(denied(within(to.blobs().fetch(&from.addr(), blob, PLENTY)).await), "revoked");
    from.blobs().allow(to.id(), blob).unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    from.blobs().remove(blob);
    assert!(denied(within(to.blobs().fetch(&from.addr(), blob, PLENTY)).await), "removed");
    assert!(matches!(
        from.blobs().allow(to.id(), blob),
        Err(NetError::Blob(BlobError::Missing(_)))
    ));
    let wrong_size = BlobRef { size: 999, ..second };
    assert!(matches!(
        from.blobs().allow(to.id(), wrong_size),
        Err(NetError::Blob(BlobError::Missing(_)))
    ));
    assert!(matches!(
        from.blobs().read(wrong_size).await,
        Err(NetError::Blob(BlobError::Missing(_)))
    ));
}

#[tokio::test]
async fn too_large_is_refused_before_anything_is_sent() {
    let (from, to) = pair().await;
    let blob = from.blobs().put_bytes(noise(1000, 1)).await.unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    from.close().await;
    let result = within(to.blobs().fetch(&from.addr(), blob, 999)).await;
    assert!(
        matches!(result, Err(NetError::Blob(BlobError::TooLarge { size: 1000, limit: 999 }))),
        "without asking anybody"
    );
    let huge = BlobRef { size: u64::MAX, ..blob };
    let result = within(to.blobs().fetch(&from.addr(), huge, u64::MAX)).await;
    assert!(matches!(result, Err(NetError::Blob(BlobError::StoreFull { .. }))));
    assert_eq!(to.blobs().used_bytes(), 0);
}

#[tokio::test]
async fn many_at_once_and_the_same_at_once() {
    let (from, to) = pair().await;
    let mut blobs = vec![];
    for seed in 0..30 {
        let blob = from.blobs().put_bytes(noise(50_000, seed)).await.unwrap();
        from.blobs().allow(to.id(), blob).unwrap();
        blobs.extend([blob, blob]);
    }
    let fetches = blobs.iter().map(|blob| {
        let (to, addr, blob) = (to.node.clone(), from.addr(), *blob);
        tokio::spawn(
            async move { to.blobs().fetch(&addr, blob, PLENTY).await.map(|b| b.reference()) },
        )
    });
    for (fetch, blob) in futures::future::join_all(fetches).await.into_iter().zip(blobs) {
        assert_eq!(fetch.unwrap().unwrap(), blob);
    }
    assert_eq!(to.blobs().used_bytes(), 30 * 50_000);
}

#[tokio::test]
async fn written_piece_by_piece_within_the_limit() {
    let limits = Limits { blob_store_bytes: 3000, ..Limits::default() };
    let home = Home::with(1, limits.clone()).await;
    let blobs = home.blobs();
    let cached = blobs.put_bytes(noise(1000, 1)).await.unwrap();
    let content = noise(2500, 2);
    let mut draft = blobs.draft().unwrap();
    for piece in content.chunks(700) {
        draft.append(piece).unwrap();
    }
    assert!(blobs.get(cached).is_none(), "made room as it grew");
    assert_eq!((draft.written(), blobs.used_bytes()), (2500, 2500));
    assert_eq!(draft.read(100, 50).unwrap(), content[100..150]);
    let mut thrown_away = blobs.draft().unwrap();
    thrown_away.append(&[1; 500]).unwrap();
    assert!(matches!(thrown_away.append(&[1]), Err(BlobError::StoreFull { .. })));
    drop(thrown_away);
    let blob = draft.finish().unwrap();
    assert_eq!((blob.reference(), blobs.used_bytes()), (reference(&content), 2500));
    assert_eq!(blob.read_part(2000, 500).await.unwrap(), content[2000..]);
    assert!(blob.read_part(2001, 500).await.is_err(), "past its end");
    drop(blob);
    // A crash while another draft is written leaves no file.
    std::mem::forget(blobs.draft().unwrap());
    let home = home.restart(limits).await;
    assert_eq!(home.blobs().read(reference(&content)).await.unwrap(), content);
    assert_eq!(fs::read_dir(home.folder.path().join("blobs/draft")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_cached_makes_room_and_what_is_needed_stays() {
    let limits = Limits { blob_store_bytes: 3000, ..Limits::default() };
    let home = Home::with(1, limits.clone()).await;
    let blobs = home.blobs();
    let allowed = blobs.put_bytes(noise(1000, 1)).await.unwrap();
    blobs.allow(B256::repeat_byte(7), allowed).unwrap();
    let held = blobs.put_bytes(noise(1000, 2)).await.unwrap();
    let handle = blobs.get(held).unwrap();
    let cached = blobs.put_bytes(noise(900, 3)).await.unwrap();
    let newer = blobs.put_bytes(noise(1000, 4)).await.unwrap();
    assert!(blobs.get(cached).is_none(), "made room");
    assert!(matches!(
        blobs.put_bytes(noise(1001, 5)).await,
        Err(NetError::Blob(BlobError::StoreFull { .. }))
    ));
    blobs.put_bytes(noise(1000, 6)).await.unwrap();
    assert!(blobs.get(newer).is_none());
    assert_eq!(blobs.used_bytes(), 3000);
    blobs.remove(held);
    assert!(blobs.get(held).is_none());
    assert!(whole_path(&home, held).exists(), "somebody still reads it");
    assert_eq!(handle.read().await.unwrap(), noise(1000, 2));
    drop(handle);
    assert!(!whole_path(&home, held).exists());
    assert_eq!(blobs.used_bytes(), 2000);
    // After a restart all blobs are cache, and the store shrinks to a smaller limit.
    let home = home.restart(Limits { blob_store_bytes: 1500, ..limits }).await;
    assert_eq!(home.blobs().used_bytes(), 1000);
}

#[tokio::test]
async fn damage_on_disk_is_noticed() {
    let home = Home::new(1).await;
    let blob = home.blobs().put_bytes(noise(1000, 1)).await.unwrap();
    fs::write(whole_path(&home, blob), noise(1000, 2)).unwrap();
    assert!(matches!(home.blobs().read(blob).await, Err(NetError::Blob(BlobError::Missing(_)))));
    assert!(home.blobs().get(blob).is_none(), "better none than a wrong one");
}

#[tokio::test]
async fn goes_on_where_it_was_cut() {
    let (from, to) = pair().await;
    let content = noise(1 << 20, 1);
    let blob = from.blobs().put_bytes(content.clone()).await.unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    let partial = partial_path(&to, blob, from.id());
    fs::write(&partial, &content[..700_000]).unwrap();
    // The server's copy is damaged before the cut, so only a client that resumes gets the right
    // blob.
    let mut damaged = content.clone();
    damaged[..700_000].fill(0);
    fs::write(whole_path(&from, blob), &damaged).unwrap();
    let fetched = within(to.blobs().fetch(&from.addr(), blob, PLENTY)).await.unwrap();
    assert_eq!(fetched.read().await.unwrap(), content);
    assert!(!partial.exists());
}

#[tokio::test]
async fn a_wrong_beginning_is_thrown_away_and_fetched_again() {
    let (from, to) = pair().await;
    let content = noise(1 << 20, 1);
    let blob = from.blobs().put_bytes(content.clone()).await.unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    for beginning in [vec![0; 500_000], vec![0; 1 << 20], vec![0; 2 << 20]] {
        fs::write(partial_path(&to, blob, from.id()), beginning).unwrap();
        let fetched = within(to.blobs().fetch(&from.addr(), blob, PLENTY)).await.unwrap();
        assert_eq!(fetched.read().await.unwrap(), content);
        drop(fetched);
        to.blobs().remove(blob);
    }
}

/// A server with the right ALPN that answers every request with these bytes, then ends the stream
/// or the connection.
async fn liar(seed: u8, answer: Vec<u8>, cut: bool) -> PeerAddr {
    let endpoint = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&[seed; 32]))
        .alpns(vec![b"rialto/blobs/1".to_vec()])
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .unwrap()
        .bind()
        .await
        .unwrap();
    let addr = PeerAddr {
        endpoint: B256::from(*endpoint.id().as_bytes()),
        direct: endpoint.bound_sockets(),
        relay: None,
    };
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.unwrap();
            let (mut send, mut recv) = connection.accept_bi().await.unwrap();
            let mut request = [0; 48];
            recv.read_exact(&mut request).await.unwrap();
            let offset = u64::from_be_bytes(request[40..].try_into().unwrap()) as usize;
            // The client may hang up as soon as it finds the content wrong.
            let _ = send.write_all(&answer[offset..]).await;
            if cut {
                let _ = send.stopped().await;
                connection.close(VarInt::from_u32(99), b"");
            } else {
                let _ = send.finish();
            }
            connection.closed().await;
        }
    });
    addr
}

#[tokio::test]
async fn wrong_content_is_not_kept() {
    let to = Home::new(1).await;
    let content = noise(500_000, 1);
    let blob = reference(&content);
    let mut wrong = content.clone();
    wrong[499_999] ^= 1;
    let longer = [&content[..], &[0]].concat();
    for (seed, answer) in [(10, wrong), (11, longer), (12, noise(4 << 20, 9))] {
        let peer = liar(seed, answer, false).await;
        let result = within(to.blobs().fetch(&peer, blob, PLENTY)).await;
        assert!(matches!(result, Err(NetError::Blob(BlobError::Wrong(_)))), "{result:?}");
        assert!(to.blobs().get(blob).is_none());
        assert_eq!(to.blobs().used_bytes(), 0);
    }
}

#[tokio::test]
async fn too_short_is_kept_and_completed() {
    let (from, to) = pair().await;
    let content = noise(1 << 20, 1);
    let blob = from.blobs().put_bytes(content.clone()).await.unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    let short = liar(10, content[..600_000].to_vec(), false).await;
    let result = within(to.blobs().fetch(&short, blob, PLENTY)).await;
    assert!(matches!(result, Err(NetError::BlobCut { received: 600_000, .. })), "{result:?}");
    assert_eq!(to.blobs().used_bytes(), 600_000);
    let fetched = within(to.blobs().fetch(&from.addr(), blob, PLENTY)).await.unwrap();
    assert_eq!(fetched.read().await.unwrap(), content);
}

#[tokio::test]
async fn a_cancelled_fetch_goes_on_later() {
    let (from, to) = pair().await;
    let content = noise(8 << 20, 1);
    let blob = from.blobs().put_bytes(content.clone()).await.unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    let addr = from.addr();
    for polls in [1, 10, 100, 1000] {
        let mut fetch = Box::pin(to.blobs().fetch(&addr, blob, PLENTY));
        for _ in 0..polls {
            tokio::select! {
                biased;
                _ = &mut fetch => break,
                () = tokio::task::yield_now() => {}
            }
        }
    }
    let fetched = within(to.blobs().fetch(&from.addr(), blob, PLENTY)).await.unwrap();
    assert_eq!(fetched.read().await.unwrap(), content);
    assert_eq!(to.blobs().used_bytes(), 8 << 20);
}

/// The contract of [`Source`]. `hint` leads to `there` and not to `elsewhere`; neither is in the
/// store.
async fn a_source_keeps_the_contract(
    source: &dyn Source,
    hint: &Hint,
    there: BlobRef,
    content: &[u8],
    elsewhere: BlobRef,
) {
    let blob = source.get(there, hint).await.unwrap();
    assert_eq!((blob.reference(), &blob.read().await.unwrap()[..]), (there, content));
    assert_eq!(source.get(there, hint).await.unwrap().path(), blob.path(), "now from the store");
    let missing = source.get(elsewhere, hint).await;
    assert!(matches!(missing, Err(BlobError::Unavailable(_))), "{missing:?}");
    // Another size is another blob.
    let longer = source.get(BlobRef { size: there.size + 1, ..there }, hint).await;
    assert!(longer.is_err());
}

#[tokio::test]
async fn a_peer_is_a_source() {
    let (from, to) = (Home::new(71).await, Home::new(72).await);
    let content = noise(300_000, 9);
    let there = from.blobs().put_bytes(content.clone()).await.unwrap();
    from.blobs().allow(to.id(), there).unwrap();
    let elsewhere = BlobRef { hash: [5; 32], size: 10 };
    let hint = Hint::Peer(from.addr());
    within(a_source_keeps_the_contract(to.blobs(), &hint, there, &content, elsewhere)).await;
}
