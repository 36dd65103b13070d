//! LLVM's names of x86-64 CPUs and the levels of the psABI: what clang 22 gives them (`llvm/lib/TargetParser/X86TargetParser.cpp`). Its
//! names of CPUs without SSE3 or with 3DNow!, of before 2008, are left out.

use super::{Set, cpus};
use crate::engine::cpu::x86_64::{NAMES, NOT_DETECTED};

cpus! {
    [&NAMES, NOT_DETECTED];
    "x86-64" | "x86-64-v1" | "generic": X86_64 = NONE;
    "core2": CORE2 = NONE + ["cx16" "sahf" "sse3" "ssse3"];
    "atom" | "bonnell": ATOM = CORE2 + ["movbe"];
    "penryn": PENRYN = CORE2 + ["sse4.1"];
    "btver1": BTVER1 = CORE2 + ["lzcnt" "popcnt" "prfchw" "sse4a"];
    "x86-64-v2" | "corei7" | "nehalem": X86_64_V2 = PENRYN + ["crc32" "popcnt" "sse4.2"];
    "westmere": WESTMERE = X86_64_V2 + ["pclmul"];
    "sandybridge" | "corei7-avx": SANDYBRIDGE = WESTMERE + ["avx" "xsave" "xsaveopt"];
    "silvermont" | "slm": SILVERMONT = WESTMERE + ["movbe" "prfchw" "rdrnd"];
    "ivybridge" | "core-avx-i": IVYBRIDGE = SANDYBRIDGE + ["f16c" "fsgsbase" "rdrnd"];
    "x86-64-v3": X86_64_V3 = X86_64_V2 + ["avx" "avx2" "bmi" "bmi2" "f16c" "fma" "lzcnt" "movbe" "xsave"];
    "bdver1": BDVER1 = SANDYBRIDGE + ["aes" "fma4" "lwp" "lzcnt" "prfchw" "sse4a" "xop"] - ["xsaveopt"];
    "btver2": BTVER2 = SANDYBRIDGE + ["aes" "bmi" "f16c" "lzcnt" "movbe" "prfchw" "sse4a"];
    "goldmont": GOLDMONT = SILVERMONT + ["aes" "clflushopt" "fsgsbase" "rdseed" "sha" "xsave" "xsavec" "xsaveopt"];
    "haswell" | "core-avx2": HASWELL = X86_64_V3 + ["fsgsbase" "pclmul" "rdrnd" "xsaveopt"];
    "bdver2": BDVER2 = BDVER1 + ["bmi" "f16c" "fma" "tbm"];
    "x86-64-v4": X86_64_V4 = X86_64_V3 + ["avx512bw" "avx512cd" "avx512dq" "avx512f" "avx512vl"];
    "goldmont-plus": GOLDMONT_PLUS = GOLDMONT + ["ptwrite" "rdpid" "sgx"];
    "bdver3": BDVER3 = BDVER2 + ["fsgsbase" "xsaveopt"];
    "broadwell": BROADWELL = HASWELL + ["adx" "prfchw" "rdseed"];
    "tremont": TREMONT = GOLDMONT_PLUS + ["clwb" "gfni"];
    "knl": KNL = BROADWELL + ["aes" "avx512cd" "avx512f"];
    "knm": KNM = KNL + ["avx512vpopcntdq"];
    "skylake": SKYLAKE = BROADWELL + ["aes" "clflushopt" "sgx" "xsavec"];
    "bdver4": BDVER4 = BDVER3 + ["avx2" "bmi2" "movbe" "mwaitx" "rdrnd"];
    "znver1": ZNVER1 = SKYLAKE + ["clzero" "mwaitx" "sha" "sse4a"] - ["sgx"];
    "skylake-avx512" | "skx": SKYLAKE_AVX512 = KNL + ["avx512bw" "avx512dq" "avx512vl" "clflushopt" "clwb" "pku" "xsavec"];
    "znver2": ZNVER2 = ZNVER1 + ["clwb" "rdpid" "rdpru"];
    "cascadelake": CASCADELAKE = SKYLAKE_AVX512 + ["avx512vnni"];
    "cooperlake": COOPERLAKE = CASCADELAKE + ["avx512bf16"];
    "cannonlake": CANNONLAKE = SKYLAKE_AVX512 + ["avx512ifma" "avx512vbmi" "sgx" "sha"] - ["clwb"];
    "znver3": ZNVER3 = ZNVER2 + ["pku" "vaes" "vpclmulqdq"];
    "alderlake" | "gracemont" | "meteorlake" | "raptorlake": ALDERLAKE = SKYLAKE + ["avxvnni" "clwb" "gfni" "kl" "movdir64b"
        "movdiri" "pku" "ptwrite" "rdpid" "serialize" "sha" "shstk" "vaes" "vpclmulqdq" "waitpkg" "widekl"];
    "rocketlake": ROCKETLAKE = CANNONLAKE + ["avx512bitalg" "avx512vbmi2" "avx512vnni" "avx512vpopcntdq" "gfni" "rdpid" "vaes"
        "vpclmulqdq"] - ["sgx"];
    "icelake-client": ICELAKE_CLIENT = ROCKETLAKE + ["sgx"];
    "icelake-server": ICELAKE_SERVER = ICELAKE_CLIENT + ["clwb"];
    "arrowlake" | "grandridge" | "sierraforest": ARROWLAKE = ALDERLAKE + ["avxifma" "avxneconvert" "avxvnniint8" "cmpccxadd"
        "enqcmd" "uintr"];
    "znver4": ZNVER4 = ROCKETLAKE + ["avx512bf16" "clwb" "clzero" "mwaitx" "rdpru" "shstk" "sse4a"];
    "pantherlake" | "wildcatlake": PANTHERLAKE = ARROWLAKE + ["avxvnniint16" "sha512" "sm3" "sm4"] - ["kl" "widekl"];
    "tigerlake": TIGERLAKE = ICELAKE_SERVER + ["avx512vp2intersect" "kl" "movdir64b" "movdiri" "shstk" "widekl"];
    "clearwaterforest": CLEARWATERFOREST = PANTHERLAKE + ["usermsr"];
    "arrowlake-s" | "lunarlake": ARROWLAKE_S = PANTHERLAKE + ["kl" "widekl"];
    "znver5": ZNVER5 = ZNVER4 + ["avx512vp2intersect" "avxvnni" "movdir64b" "movdiri"];
    "emeraldrapids" | "sapphirerapids": EMERALDRAPIDS = ICELAKE_SERVER + ["amx-bf16" "amx-int8" "amx-tile" "avx512bf16"
        "avx512fp16" "avxvnni" "enqcmd" "movdir64b" "movdiri" "ptwrite" "serialize" "shstk" "tsxldtrk" "uintr" "waitpkg"];
    "graniterapids": GRANITERAPIDS = EMERALDRAPIDS + ["amx-fp16"];
    "graniterapids-d": GRANITERAPIDS_D = GRANITERAPIDS + ["amx-complex"];
    "novalake": NOVALAKE = PANTHERLAKE + ["avx10.1" "avx10.2" "avx512bf16" "avx512bitalg" "avx512bw" "avx512cd" "avx512dq"
        "avx512f" "avx512fp16" "avx512ifma" "avx512vbmi" "avx512vbmi2" "avx512vl" "avx512vnni" "avx512vpopcntdq" "ccmp" "egpr"
        "movrs" "ndd" "nf" "ppx" "push2pop2" "zu"];
    "diamondrapids": DIAMONDRAPIDS = NOVALAKE + ["amx-avx512" "amx-bf16" "amx-complex" "amx-fp16" "amx-fp8" "amx-int8"
        "amx-movrs" "amx-tf32" "amx-tile" "tsxldtrk"];
}
