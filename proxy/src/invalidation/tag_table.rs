//! All tags that matter: those that a stored response carries, and those purged while a fetch is
//! running.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;
use purge_protocol::{PurgeMode, spelling};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Sequence;
use super::marks::{Marks, Verdict};
use super::searches::{HostDeclaration, Noted, SearchTable};
use crate::key::Key;
use crate::key::no_vary_search::{self, SearchVariance};
use process::timestamp::Timestamp;

/// The identity of a tag: 128 bits of a seeded hash over its kind and its bytes. A collision purges
/// too much, never too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagId(u128);

/// One tag: its marks, and where the stored responses that carry it are.
#[derive(Debug)]
pub(super) struct TagEntry {
    id: TagId,
    kind: TagKind,
    marks: Marks,
    holders: Mutex<Holders>,
}

/// The hashes of the keys under which a tag's responses are stored. Places of those that left hold
/// [`FREE`] and are reused.
#[derive(Debug, Default)]
struct Holders {
    hashes: Vec<u64>,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TagKind {
    Named,
    Host,
    Url,
    /// A path whose responses are their own page.
    OwnPage,
    /// A page of responses with another path than its own.
    Page,
    /// A path whose responses are of another page.
    Path,
    Deployment,
    /// The URLs that are equivalent by a declaration.
    Search,
}

/// The identities by which the responses of one path are marked: `own` where the path is its own
/// page, else `path` and that of the page.
///
/// So a response needs one handle where page and path are the same, and none where it is found by
/// its key as well: its URL has no query and is in its normal spelling, and no rules keep it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathIds {
    pub own: TagId,
    pub page: TagId,
    pub path: TagId,
}

impl TagEntry {
    pub(super) const fn id(&self) -> TagId {
        self.id
    }

    pub(super) const fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(super) fn live(&self) -> u64 {
        let holders = self.holders.lock();
        (holders.hashes.len() - holders.free.len()) as u64
    }

    fn key_hashes(&self) -> Vec<u64> {
        self.holders.lock().hashes.iter().copied().filter(|hash| *hash != FREE).collect()
    }

    pub(super) fn hold(&self, key_hash: u64) -> u32 {
        let mut holders = self.holders.lock();
        let free = holders.free.pop();
        if let Some(place) = free
            && let Some(hash) = holders.hashes.get_mut(place as usize)
        {
            *hash = key_hash;
            return place;
        }
        holders.hashes.push(key_hash);
        u32::try_from(holders.hashes.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn let_go(&self, place: u32) {
        let mut holders = self.holders.lock();
        if let Some(hash) = holders.hashes.get_mut(place as usize) {
            *hash = FREE;
            holders.free.push(place);
        }
        if holders.free.len() == holders.hashes.len() {
            *holders = Holders::default();
        }
    }
}

/// Returns the beginning of a tag up to its last separator, by which tags are folded:
/// `node:` for `node:5`, `cat_p_` for `cat_p_42`, nothing for `news`.
pub fn fold_prefix(text: &[u8]) -> &[u8] {
    let inner = text.split_last().map_or(text, |(_last, inner)| inner);
    let end = inner.iter().rposition(u8::is_ascii_punctuation).map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

#[derive(Debug)]
pub struct TagTable {
    seed: u64,
    shards: Box<[Mutex<HashTable<Arc<TagEntry>>>]>,
    /// Marks up to here matter only to holders.
    settled: AtomicU64,
    /// URLs among the tags, so that a check need not look for one where none was purged.
    urls: AtomicUsize,
    /// The sequence of the last purge of a page or a path: what was born since need not look.
    paths_marked: AtomicU64,
    /// The sequence of the last purge of a URL.
    urls_marked: AtomicU64,
    searches: SearchTable,
}

impl TagTable {
    pub(super) fn new(seed: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashTable::new())).collect();
        let (settled, urls) = (AtomicU64::new(0), AtomicUsize::new(0));
        let (paths_marked, urls_marked) = (AtomicU64::new(0), AtomicU64::new(0));
        let searches = SearchTable::default();
        Self { seed, shards, settled, urls, paths_marked, urls_marked, searches }
    }

    /// What makes identities unguessable: with the same one they mean the same.
    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the identity of a tag that the origin gave.
    pub fn tag(&self, text: &[u8]) -> TagId {
        self.id(1, &[text])
    }

    /// Returns the identity of a host in canonical form.
    pub fn host(&self, host: &[u8]) -> TagId {
        self.id(HOST_KIND, &[host])
    }

    /// Returns the identity of a cache group, which is of one host (RFC 9875 §2).
    pub fn group(&self, host: &[u8], name: &[u8]) -> TagId {
        self.id(3, &[host, b"\0", name])
    }

    /// Returns the identity of a URL, the same for every scheme and every spelling of its path.
    pub fn url(&self, key: &Key) -> TagId {
        let [host, path] = key.url();
        self.id(URL_KIND, &[&host, &path])
    }

    /// Returns the identities that stand for a tag in responses that do not list all of theirs: one
    /// for tags that begin alike, one for any tag. A purge of a tag marks both.
    pub fn folds(&self, text: &[u8]) -> [TagId; 2] {
        let beginning = xxh3_128_with_seed(fold_prefix(text), self.seed);
        let class = (beginning % FOLD_CLASSES).to_le_bytes();
        [self.id(FOLD_KIND, &[&class]), self.any_tag()]
    }

    /// Returns the identity that stands for any tag.
    pub fn any_tag(&self) -> TagId {
        self.id(FOLD_KIND, &[])
    }

    /// Returns the identity of a URL of a host and a path with query.
    pub fn url_of(&self, host: &[u8], path: &[u8]) -> TagId {
        self.id(URL_KIND, &[&length_of(host), host, &spelling::normal(path)])
    }

    /// Returns the identities of a path, the same for every scheme, query and spelling. That of a
    /// page is the same with and without a slash at its end: its data has one URL for both.
    pub fn path_ids(&self, host: &[u8], path: &[u8]) -> PathIds {
        let spelled = spelling::normal(without_query(path));
        let bare = spelled.strip_suffix(b"/").filter(|bare| !bare.is_empty());
        let id = |kind, path: &[u8]| self.id(kind, &[&length_of(host), host, path]);
        PathIds {
            own: id(OWN_PAGE_KIND, &spelled),
            page: id(PAGE_KIND, bare.unwrap_or(&spelled)),
            path: id(PATH_KIND, &spelled),
        }
    }

    /// Returns the tags by which purges of pages and paths find a response with this key. `page` is
    /// the path of its page, where that is not its own.
    pub fn places(&self, key: &Key, page: Option<&[u8]>) -> SmallVec<[TagId; 2]> {
        let (host, path) = (key.host(), key.path());
        let own_path = without_query(path);
        let is_plain = own_path.len() == path.len() && key.rules().is_none();
        let is_found_by_key = is_plain && spelling::is_normal(path);
        let other = page.filter(|page| spelling::normal(page) != spelling::normal(own_path));
        let mut places = SmallVec::new();
        if other.is_none() && is_found_by_key {
            return places;
        }
        let ids = self.path_ids(host, own_path);
        match other {
            None => places.push(ids.own),
            Some(page) => {
                places.push(self.path_ids(host, page).page);
                places.extend((!is_found_by_key).then_some(ids.path));
            }
        }
        places
    }

    /// Returns the identity by which the path of this key is marked, for a response that is of
    /// another page, or is not.
    pub(super) fn place(&self, key: &Key, is_of_other_page: bool) -> TagId {
        let ids = self.path_ids(key.host(), key.path());
        if is_of_other_page { ids.path } else { ids.own }
    }

    /// Returns the identity of a deployment of whatever host.
    pub fn deployment(&self, name: &[u8]) -> TagId {
        self.id(DEPLOYMENT_KIND, &[name])
    }

    /// What responses have declared about the queries of their URLs.
    pub const fn searches(&self) -> &SearchTable {
        &self.searches
    }

    /// Returns the identity of all URLs that are equivalent to one by a declaration.
    pub fn search_class(&self, host: &[u8], path: &[u8], variance: &SearchVariance) -> TagId {
        let (path, query) = no_vary_search::split(path);
        let (path, class) = (spelling::normal(path), variance.class(query));
        let length = u32::try_from(path.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.id(SEARCH_KIND, &[&length_of(host), host, &length, &path, &class])
    }

    /// Returns the classes of a URL under all that responses of its host have declared.
    pub fn search_classes(&self, host: &[u8], path: &[u8]) -> SmallVec<[TagId; 2]> {
        let declared = self.searches.of(host);
        declared.iter().map(|known| self.search_class(host, path, &known.variance)).collect()
    }

    /// Notes what a response has declared, and returns the identity of all URLs that are equivalent
    /// to its own; `None` where there is no room. `sequence` tells the present one; what is new is
    /// given to `keep`.
    pub fn declare(
        &self,
        key: &Key,
        variance: &SearchVariance,
        sequence: impl FnOnce() -> Sequence,
        keep: impl FnOnce(HostDeclaration),
    ) -> Option<TagId> {
        let noted = self.searches.note(key.host(), variance, sequence, keep);
        (noted != Noted::NoRoom).then(|| self.search_class(key.host(), key.path(), variance))
    }

    /// Restores what responses have declared to earlier processes. Call it before the first purge.
    pub fn restore_declarations(&self, earlier: &[HostDeclaration]) {
        for declaration in earlier {
            self.searches.restore(declaration);
        }
    }

    /// Returns whether a purge of an equivalent URL may have come while nobody knew that they are:
    /// the declaration is younger than the fetch.
    ///
    /// A purge marks URLs, and then the classes under all declarations that are known. So it has
    /// marked the class of a response that was born after its declaration was known.
    pub(super) fn may_have_missed_a_url(
        &self,
        born: Sequence,
        mut tags: impl Iterator<Item = TagId>,
    ) -> bool {
        self.searches.have_changed_since(born)
            && self.urls_marked.load(Ordering::Acquire) > born.0
            && tags.any(TagId::is_search)
    }

    /// Returns whether every purge since a response was born means all URLs that it declares to be
    /// equivalent to its own, also a purge of another process.
    pub fn knows_classes(&self, key: &Key, born: Sequence, tags: &[TagId]) -> bool {
        let mut classes = tags.iter().filter(|tag| tag.is_search()).peekable();
        if classes.peek().is_none() {
            return true;
        }
        let declared = self.searches.of(key.host());
        let known: SmallVec<[TagId; 2]> = declared
            .iter()
            .filter(|known| known.since <= born)
            .map(|known| self.search_class(key.host(), key.path(), &known.variance))
            .collect();
        classes.all(|class| known.contains(class))
    }

    /// Returns the identity of a directory, of whatever host. It is never marked: a store finds by
    /// it what a prefix covers.
    pub fn directory(&self, path: &[u8]) -> TagId {
        self.id(5, &[path])
    }

    fn id(&self, kind: u8, parts: &[&[u8]]) -> TagId {
        let mut bytes = SmallVec::<[u8; 256]>::new();
        bytes.push(kind);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        TagId(xxh3_128_with_seed(&bytes, self.seed) & !0xff | u128::from(kind))
    }

    /// Returns the tag, made when it is new.
    pub(super) fn get_or_insert(&self, id: TagId) -> Arc<TagEntry> {
        let mut shard = self.shard(id).lock();
        match shard.entry(id.hash(), |tag| tag.id == id, |tag| tag.id.hash()) {
            Entry::Occupied(occupied) => Arc::clone(occupied.get()),
            Entry::Vacant(vacant) => {
                let tag = Arc::new(TagEntry {
                    id,
                    kind: id.kind(),
                    marks: Marks::default(),
                    holders: Mutex::new(Holders::default()),
                });
                if tag.kind == TagKind::Url {
                    self.urls.fetch_add(1, Ordering::AcqRel);
                }
                vacant.insert(Arc::clone(&tag));
                tag
            }
        }
    }

    pub fn live(&self, id: TagId) -> u64 {
        self.peek(id, TagEntry::live).unwrap_or(0)
    }

    /// The hashes of the keys of the stored responses that carry this tag; one key may occur
    /// several times.
    pub fn key_hashes(&self, id: TagId) -> Vec<u64> {
        let tag = self.shard(id).lock().find(id.hash(), |tag| tag.id == id).cloned();
        let Some(tag) = tag else { return Vec::new() };
        let hashes = tag.key_hashes(); // of millions of responses, perhaps: not under the shard's lock
        self.release(tag);
        hashes
    }

    /// Looks at a tag, if it is known, under its shard's lock.
    fn peek<T>(&self, id: TagId, look: impl FnOnce(&TagEntry) -> T) -> Option<T> {
        self.shard(id).lock().find(id.hash(), |tag| tag.id == id).map(|tag| look(tag))
    }

    pub(super) fn mark(&self, id: TagId, mode: PurgeMode, sequence: Sequence, now: Timestamp) {
        if matches!(id.kind(), TagKind::OwnPage | TagKind::Path) {
            self.paths_marked.store(sequence.0, Ordering::Release); // pairs with the acquire below
        }
        if id.kind() == TagKind::Url {
            self.urls_marked.store(sequence.0, Ordering::Release);
        }
        self.get_or_insert(id).marks.raise(mode, sequence, now);
    }

    /// The verdict on the path of a response for which no handle is held.
    pub(super) fn verdict_of_place(
        &self,
        key: &Key,
        is_of_other_page: impl FnOnce() -> bool,
        born: Sequence,
    ) -> Verdict {
        if self.paths_marked.load(Ordering::Acquire) <= born.0 {
            return Verdict::Valid;
        }
        self.verdict_of(self.place(key, is_of_other_page()), born)
    }

    pub(super) fn verdict_of_url(&self, key: &Key, born: Sequence) -> Verdict {
        if self.urls.load(Ordering::Acquire) == 0 {
            return Verdict::Valid;
        }
        self.verdict_of(self.url(key), born)
    }

    pub(super) fn verdict_of(&self, id: TagId, born: Sequence) -> Verdict {
        self.peek(id, |tag| tag.marks.verdict(born)).unwrap_or(Verdict::Valid)
    }

    /// Returns whether nothing but the purge `own` has hit it since then.
    pub(super) fn has_only(&self, id: TagId, since: Sequence, own: Sequence) -> bool {
        self.peek(id, |tag| tag.marks.has_only(since, own)).unwrap_or(true)
    }

    pub(super) fn forget_settled(&self, settled: Sequence) {
        self.settled.fetch_max(settled.0, Ordering::AcqRel);
    }

    /// Takes a handle back and forgets the tag if that was the last one and no running fetch needs
    /// its marks.
    pub(super) fn release(&self, tag: Arc<TagEntry>) {
        let id = tag.id;
        drop(tag);
        self.forget_if_unheld(id);
    }

    /// New handles come from the table only, under the shard's lock: a tag whose only owner is the
    /// table has no holder.
    pub(super) fn forget_if_unheld(&self, id: TagId) {
        let mut shard = self.shard(id).lock();
        let settled = self.settled.load(Ordering::Acquire); // under the lock: see the later of this and `forget_settled`'s look
        let Ok(entry) = shard.find_entry(id.hash(), |tag| tag.id == id) else { return };
        let tag = entry.get();
        if Arc::strong_count(tag) == 1 && tag.marks.latest().0 <= settled {
            let (tag, _) = entry.remove();
            if tag.kind == TagKind::Url {
                self.urls.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn shard(&self, id: TagId) -> &Mutex<HashTable<Arc<TagEntry>>> {
        &self.shards[usize::try_from(id.hash() >> 40).unwrap_or(0) % SHARDS]
    }
}

impl TagId {
    /// All its bits, for a store that keeps them. They mean the same as long as the seed is the
    /// same.
    pub const fn bits(self) -> u128 {
        self.0
    }

    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The upper half, which is as good a hash as any.
    pub const fn hash(self) -> u64 {
        (self.0 >> 64) as u64
    }

    const fn kind(self) -> TagKind {
        match (self.0 & 0xff) as u8 {
            HOST_KIND => TagKind::Host,
            URL_KIND => TagKind::Url,
            OWN_PAGE_KIND => TagKind::OwnPage,
            PAGE_KIND => TagKind::Page,
            PATH_KIND => TagKind::Path,
            DEPLOYMENT_KIND => TagKind::Deployment,
            SEARCH_KIND => TagKind::Search,
            _ => TagKind::Named,
        }
    }

    /// Returns whether it is a page's, which only responses with another path carry.
    pub(super) const fn is_other_page(self) -> bool {
        matches!(self.kind(), TagKind::Page)
    }

    pub(super) const fn is_host(self) -> bool {
        matches!(self.kind(), TagKind::Host)
    }

    pub(super) const fn is_search(self) -> bool {
        matches!(self.kind(), TagKind::Search)
    }

    pub(super) const fn is_deployment(self) -> bool {
        matches!(self.kind(), TagKind::Deployment)
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'?').next().unwrap_or_default()
}

/// The length of a host, as keys have it before the host.
fn length_of(host: &[u8]) -> [u8; 2] {
    u16::try_from(host.len()).unwrap_or(u16::MAX).to_le_bytes()
}

/// Marks a free place. A key of this very hash, one in 2^64, would not be counted; its verdict does
/// not depend on that.
const FREE: u64 = u64::MAX;
const HOST_KIND: u8 = 2;
const URL_KIND: u8 = 4;
const FOLD_KIND: u8 = 6;
/// Different beginnings of tags that are told apart: so many marks are never forgotten.
const FOLD_CLASSES: u128 = 4096;
const OWN_PAGE_KIND: u8 = 16;
const PAGE_KIND: u8 = 17;
const PATH_KIND: u8 = 18;
const DEPLOYMENT_KIND: u8 = 19;
const SEARCH_KIND: u8 = 20;
const SHARDS: usize = 64;
