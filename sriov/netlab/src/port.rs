//! VLAN ports in tc BPF, with counters and a stamp of the last frame.
//!
//! Owns the loaded object and reads its map; the programs are `bpf/port.bpf.c`. The filters live
//! on the interface and go with it, so a port needs no clean-up of its own.
//!
//! Sources: testbed page, Q3 (which offloads must be off on such a port).

use std::{os::fd::AsFd, time::Duration};

use libbpf_rs::{
    MapCore, MapFlags, Object, ObjectBuilder, TC_EGRESS, TC_INGRESS, TcAttachPoint, TcHookBuilder,
};

use crate::{Error, Namespace, veth};

/// The compiled BPF object.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/port.bpf.o"));
const CONFIG_SECTION: &str = ".rodata.port";
const STAMPS: &str = "stamps";
const MAX_TAGS: usize = 8;
const ACCESS: u32 = 0;
const TRUNK: u32 = 1;

/// Frames of one kind in one direction, counted at a port.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stamp {
    /// Frames.
    pub frames: u64,
    /// Their bytes, Ethernet header included, tag left out.
    pub bytes: u64,
    /// When the last one passed, by CLOCK_MONOTONIC; zero before the first.
    pub last: Duration,
}

/// All counters of a port at one moment; directions as the owner of the interface sees them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stamps {
    /// Frames that came in.
    pub inbound: Stamp,
    /// Those of them that carry TCP, UDP or SCTP.
    pub inbound_traffic: Stamp,
    /// Frames that went out.
    pub outbound: Stamp,
    /// Those of them that carry TCP, UDP or SCTP.
    pub outbound_traffic: Stamp,
    /// Frames of another VLAN, dropped on the way in.
    pub foreign: Stamp,
}

/// An interface that is in a VLAN, or carries several.
#[derive(Debug)]
pub struct VlanPort {
    object: Object,
    interface: String,
}

impl VlanPort {
    /// Puts an interface into VLAN `tag` (0: untagged): frames leave with the tag, others than of
    /// this tag are not taken. Its transmit offloads are turned off.
    ///
    /// # Errors
    ///
    /// [`Error::Tags`], [`Error::NoInterface`], [`Error::Bpf`], [`Error::Command`].
    pub fn access(namespace: &Namespace, interface: &str, tag: u16) -> Result<Self, Error> {
        Self::attach(namespace, interface, ACCESS, &[tag])
    }

    /// Lets frames of the listed tags pass an interface as they are, and no others; with tag 0
    /// in the list untagged ones too. At most eight tags.
    ///
    /// # Errors
    ///
    /// As [`VlanPort::access`].
    pub fn trunk(namespace: &Namespace, interface: &str, tags: &[u16]) -> Result<Self, Error> {
        Self::attach(namespace, interface, TRUNK, tags)
    }

    fn attach(
        namespace: &Namespace,
        interface: &str,
        mode: u32,
        tags: &[u16],
    ) -> Result<Self, Error> {
        if tags.is_empty() || tags.len() > MAX_TAGS || tags.iter().any(|tag| *tag > 4094) {
            return Err(Error::Tags { tags: tags.to_vec() });
        }
        veth::plain_frames(namespace, interface)?;
        let index = namespace.index_of(interface)?;
        let failed =
            |step| move |source| Error::Bpf { step, interface: interface.to_owned(), source };
        let object = load(mode, tags).map_err(failed("load"))?;
        namespace.enter(|| hook(&object, index.cast_signed()))?.map_err(failed("attach"))?;
        Ok(Self { object, interface: interface.to_owned() })
    }

    /// Reads all counters.
    ///
    /// # Errors
    ///
    /// [`Error::Bpf`] if the kernel refuses to read the map.
    pub fn stamps(&self) -> Result<Stamps, Error> {
        let failed =
            |source| Error::Bpf { step: "read", interface: self.interface.clone(), source };
        let map = self.object.maps().find(|map| map.name() == STAMPS);
        let row = |index: u32| -> Result<Stamp, Error> {
            let Some(map) = &map else { return Ok(Stamp::default()) };
            let value = map.lookup(&index.to_ne_bytes(), MapFlags::ANY).map_err(failed)?;
            Ok(value.as_deref().map(stamp).unwrap_or_default())
        };
        Ok(Stamps {
            inbound: row(0)?,
            inbound_traffic: row(1)?,
            outbound: row(2)?,
            outbound_traffic: row(3)?,
            foreign: row(4)?,
        })
    }
}

/// One row of the map: three native 64-bit numbers.
fn stamp(value: &[u8]) -> Stamp {
    let mut numbers = value.chunks_exact(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        u64::from_ne_bytes(bytes)
    });
    let mut next = || numbers.next().unwrap_or(0);
    Stamp { frames: next(), bytes: next(), last: Duration::from_nanos(next()) }
}

/// Loads the object with its constants set.
fn load(mode: u32, tags: &[u16]) -> Result<Object, libbpf_rs::Error> {
    let mut open = ObjectBuilder::default().open_memory(OBJECT)?;
    for mut map in open.maps_mut() {
        if map.name() == CONFIG_SECTION
            && let Some(bytes) = map.initial_value_mut()
        {
            let count = u32::try_from(tags.len()).unwrap_or(0);
            let numbers = [mode, count].into_iter().chain(tags.iter().map(|tag| u32::from(*tag)));
            for (chunk, number) in bytes.chunks_exact_mut(4).zip(numbers) {
                chunk.copy_from_slice(&number.to_ne_bytes());
            }
        }
    }
    open.load()
}

/// Attaches both programs to clsact of interface `index` in the current namespace.
fn hook(object: &Object, index: i32) -> Result<(), libbpf_rs::Error> {
    let attach = |name: &str, point: TcAttachPoint| -> Result<(), libbpf_rs::Error> {
        let Some(program) = object.progs().find(|program| program.name() == name) else {
            return Ok(());
        };
        let mut builder = TcHookBuilder::new(program.as_fd());
        builder.ifindex(index).replace(true).handle(1).priority(1);
        let mut hook = builder.hook(point);
        if point == TC_INGRESS {
            // Makes clsact, which serves both directions.
            hook.create()?;
        }
        hook.attach()?;
        Ok(())
    };
    attach("port_in", TC_INGRESS)?;
    attach("port_out", TC_EGRESS)
}
