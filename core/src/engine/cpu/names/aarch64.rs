//! LLVM's names of aarch64 CPUs: what clang 22 gives them (`llvm/lib/Target/AArch64/AArch64Processors.td`).

use super::{Set, cpus};
use crate::engine::cpu::aarch64::{NAMES, NOT_DETECTED};

cpus! {
    [&NAMES, NOT_DETECTED];
    "generic": GENERIC = NONE;
    "cyclone" | "apple-a7" | "apple-a8" | "apple-a9": CYCLONE = NONE + ["aes" "sha2"];
    "cortex-a34" | "cortex-a35" | "cortex-a53" | "cortex-a57" | "cortex-a72" | "cortex-a73" | "exynos-m3" | "kryo" |
        "thunderx" | "thunderxt81" | "thunderxt83" | "thunderxt88": CORTEX_A34 = CYCLONE + ["crc"];
    "falkor" | "apple-a10": FALKOR = CORTEX_A34 + ["rdm"];
    "thunderx2t99": THUNDERX2T99 = FALKOR + ["lse"];
    "carmel" | "apple-a11": CARMEL = THUNDERX2T99 + ["ccpp" "fullfp16"];
    "exynos-m4" | "exynos-m5": EXYNOS_M4 = CARMEL + ["dotprod"];
    "a64fx": A64FX = CARMEL + ["complxnum" "sve"];
    "cortex-a55" | "cortex-a75": CORTEX_A55 = EXYNOS_M4 + ["rcpc"];
    "cortex-a78" | "cortex-a65" | "cortex-a65ae" | "cortex-a76" | "cortex-a76ae" | "cortex-a77" | "cortex-a78ae" | "cortex-x1"
        | "neoverse-e1" | "neoverse-n1": CORTEX_A78 = CORTEX_A55 + ["ssbs"];
    "thunderx3t110": THUNDERX3T110 = THUNDERX2T99 + ["ccpp" "complxnum" "jsconv" "pauth" "rcpc"];
    "apple-a12" | "apple-s4" | "apple-s5": APPLE_A12 = THUNDERX3T110 + ["fullfp16"];
    "tsv110": TSV110 = EXYNOS_M4 + ["complxnum" "fp16fml" "jsconv"];
    "cortex-a78c": CORTEX_A78C = CORTEX_A78 + ["flagm" "pauth"];
    "cortex-x1c": CORTEX_X1C = CORTEX_A78C + ["lse2" "rcpc-immo"];
    "saphira": SAPHIRA = THUNDERX3T110 + ["dit" "dotprod" "flagm" "lse2" "rcpc-immo"];
    "cortex-r82" | "cortex-r82ae": CORTEX_R82 = CORTEX_A78C + ["ccdp" "complxnum" "dit" "fp16fml" "jsconv" "sb" "v8r"] -
        ["aes" "sha2"];
    "apple-a13" | "apple-s6" | "apple-s7" | "apple-s8": APPLE_A13 = SAPHIRA + ["fp16fml" "fullfp16" "sha3"];
    "apple-m1" | "apple-a14": APPLE_M1 = APPLE_A13 + ["altnzcv" "ccdp" "fptoint" "sb" "ssbs"];
    "neoverse-512tvb" | "neoverse-v1": NEOVERSE_512TVB = APPLE_A13 + ["bf16" "ccdp" "i8mm" "rand" "sm4" "ssbs" "sve"];
    "apple-m2" | "apple-a15" | "apple-a16" | "apple-a17" | "apple-m3" | "apple-s10" | "apple-s9": APPLE_M2 = APPLE_M1 +
        ["bf16" "bti" "i8mm"];
    "oryon-1": ORYON_1 = APPLE_M2 + ["rand" "sm4"] - ["fp16fml" "fullfp16"];
    "ampere1": AMPERE1 = APPLE_M2 + ["rand"];
    "neoverse-n2" | "cobalt-100" | "cortex-a510" | "cortex-a710" | "cortex-a715" | "cortex-x2" | "cortex-x3": NEOVERSE_N2 =
        APPLE_M2 + ["mte" "sve" "sve-bitperm" "sve2"] - ["aes" "sha2" "sha3"];
    "cortex-a320" | "cortex-a520" | "cortex-a520ae" | "cortex-a720" | "cortex-a720ae" | "cortex-a725" | "cortex-x4" |
        "cortex-x925": CORTEX_A320 = NEOVERSE_N2 + ["wfxt"];
    "neoverse-v2": NEOVERSE_V2 = NEOVERSE_N2 + ["rand"];
    "ampere1a": AMPERE1A = AMPERE1 + ["mte" "sm4"];
    "neoverse-n3": NEOVERSE_N3 = CORTEX_A320 + ["rand"];
    "neoverse-v3" | "neoverse-v3ae": NEOVERSE_V3 = NEOVERSE_N3 + ["ls64"];
    "ampere1b": AMPERE1B = AMPERE1A + ["cssc" "wfxt"];
    "apple-m4" | "apple-a18": APPLE_M4 = APPLE_M2 + ["sme" "sme-f64f64" "sme-i16i64" "sme2" "wfxt"];
    "c1-nano" | "c1-premium" | "c1-pro" | "c1-ultra": C1_NANO = CORTEX_A320 + ["hbc" "mops" "rcpc3" "sme" "sme2"];
    "grace": GRACE = NEOVERSE_N2 + ["aes" "sha2" "sha3" "sm4" "sve-aes" "sve-sha3" "sve-sm4"];
    "gb10": GB10 = GRACE + ["wfxt"];
    "apple-m5" | "apple-a19": APPLE_M5 = APPLE_M4 + ["cssc" "hbc" "mte" "sme-b16b16" "sme-f16f16" "sme2p1" "sve-b16b16"];
    "ampere1c": AMPERE1C = GB10 + ["cssc" "faminmax" "fp8" "fp8fma" "lut" "rand" "sve-b16b16"] - ["sve-bitperm"];
    "olympus": OLYMPUS = AMPERE1C + ["fp8dot2" "fp8dot4" "ls64" "sve-bitperm"] - ["cssc" "sve-b16b16"];
    "fujitsu-monaka": FUJITSU_MONAKA = OLYMPUS + ["hbc" "mops"] - ["mte"];
}
