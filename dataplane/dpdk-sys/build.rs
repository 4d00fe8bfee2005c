//! Generates the bindings, compiles the shims, and says how to link.
//!
//! The compiler flags come from `pkg-config --cflags` as they are: the `pkg-config` crate drops
//! `-include rte_config.h` and `-march`, without which the headers do not compile.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Functions, types and constants that `capsule` and `benches` use; nothing else is bound.
const FUNCTIONS: &[&str] = &[
    "dpdk_sys_.*",
    "rte_dev_remove",
    "rte_eal_cleanup",
    "rte_eal_get_runtime_dir",
    "rte_eal_hotplug_add",
    "rte_eal_hotplug_remove",
    "rte_eal_init",
    "rte_eth_allmulticast_(enable|disable)",
    "rte_eth_dev_(close|configure|default_mac_addr_set|get_port_by_name|info_get|set_mtu)",
    "rte_eth_dev_(start|stop|adjust_nb_rx_tx_desc)",
    "rte_eth_from_rings",
    "rte_eth_link_get_nowait",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_(enable|disable)",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_eth_stats_(get|reset)",
    "rte_eth_xstats_(get|get_names)",
    "rte_get_tsc_hz",
    "rte_hash_(create|free|add_key_data|lookup_bulk_data)",
    "rte_log_set_(global_level|level_pattern)",
    "rte_mempool_(avail_count|in_use_count)",
    "rte_pktmbuf_(free_bulk|pool_create)",
    "rte_ring_(create|lookup)",
    "rte_strerror",
    "rte_thread_(register|unregister)",
    "rte_version",
];
const TYPES: &[&str] = &[
    "rte_mbuf",
    "rte_mempool",
    "rte_eth_conf",
    "rte_eth_dev_info",
    "rte_eth_link",
    "rte_eth_stats",
    "rte_eth_xstat",
    "rte_eth_xstat_name",
    "rte_ether_addr",
    "rte_hash_parameters",
    "rte_ring",
];
const CONSTANTS: &[&str] = &[
    "DPDK_SYS_.*",
    "RTE_ETH_NAME_MAX_LEN",
    "RTE_MBUF_DEFAULT_BUF_SIZE",
    "RTE_PKTMBUF_HEADROOM",
    "RTE_MAX_ETHPORTS",
    "RTE_LOG_(ERR|WARNING|NOTICE|INFO|DEBUG)",
];

/// Shared libraries that the symbols above live in. The drivers' own functions
/// (`rte_eth_from_rings`) are in no pkg-config file.
const LIBRARIES: &[&str] =
    &["rte_eal", "rte_mempool", "rte_mbuf", "rte_ring", "rte_ethdev", "rte_hash", "rte_net_ring"];

/// Drivers and buses of the static feature, and the libraries that they need.
const STATIC_LIBRARIES: &[&str] = &[
    "rte_kvargs",
    "rte_telemetry",
    "rte_eal",
    "rte_ring",
    "rte_rcu",
    "rte_mempool",
    "rte_mbuf",
    "rte_net",
    "rte_meter",
    "rte_ethdev",
    "rte_pci",
    "rte_cmdline",
    "rte_hash",
    "rte_timer",
    "rte_stack",
    "rte_cryptodev",
    "rte_vhost",
    "rte_security",
    "rte_sched",
    "rte_gso",
    "rte_ip_frag",
    "rte_bus_vdev",
    "rte_bus_pci",
    "rte_mempool_ring",
    "rte_mempool_stack",
    "rte_net_af_packet",
    "rte_net_af_xdp",
    "rte_net_memif",
    "rte_net_null",
    "rte_net_pcap",
    "rte_net_ring",
    "rte_net_tap",
    "rte_net_vhost",
    "rte_net_virtio",
    "rte_dmadev",
    "rte_net_e1000",
    "rte_common_iavf",
    "rte_net_iavf",
];
const STATIC_SYSTEM: &[&str] = &["xdp", "bpf", "pcap", "numa", "bsd", "elf", "z", "crypto", "m"];

fn main() {
    println!("cargo::rerun-if-changed=csrc/shim.c");
    println!("cargo::rerun-if-changed=csrc/shim.h");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");

    pkg_config(&["--atleast-version=22.11", "libdpdk"]);
    let flags: Vec<String> =
        pkg_config(&["--cflags", "libdpdk"]).split_whitespace().map(str::to_owned).collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));

    let mut builder = bindgen::Builder::default()
        .header("csrc/shim.h")
        .clang_args(&flags)
        .layout_tests(false)
        .derive_default(true)
        .prepend_enum_name(false)
        .default_macro_constant_type(bindgen::MacroTypeVariation::Unsigned)
        .generate_comments(false)
        // Only pointers to these are passed on; packed and aligned together, Rust refuses them.
        .opaque_type("rte_(arp|l2tpv2|flow)_.*")
        .blocklist_type("rte_(arp|l2tpv2)_.*");
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    builder
        .generate()
        .expect("bindgen reads DPDK's headers")
        .write_to_file(out.join("bindings.rs"))
        .expect("the bindings can be written");

    let mut shim = cc::Build::new();
    shim.file("csrc/shim.c").opt_level(3).warnings(true);
    for flag in &flags {
        shim.flag(flag);
    }
    shim.compile("dpdk_sys_shim");
    link();
}

/// Tells cargo what to link; see the crate's features.
fn link() {
    if env::var_os("CARGO_FEATURE_STATIC").is_none() {
        for name in LIBRARIES {
            println!("cargo::rustc-link-lib=dylib={name}");
        }
        return;
    }
    let libdir = pkg_config(&["--variable=libdir", "libdpdk"]);
    println!("cargo::rustc-link-search=native={}", libdir.trim());
    for name in STATIC_LIBRARIES {
        println!("cargo::rustc-link-lib=static:+whole-archive={name}");
    }
    for name in STATIC_SYSTEM {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
}

/// The output of `pkg-config`; ends the build with the fix if it fails.
fn pkg_config(arguments: &[&str]) -> String {
    let fix = "DPDK 22.11 or newer is needed: apt-get install libdpdk-dev pkg-config";
    let output = Command::new("pkg-config").args(arguments).output().expect(fix);
    assert!(output.status.success(), "{fix}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
