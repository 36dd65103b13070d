//! What each project is made to do. A driver finds functions by name and returns a text, which has to be the same whoever has linked
//! and loaded the project.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

/// Finds a function or object of the loaded project.
pub type Find<'f> = &'f dyn Fn(&CStr) -> *const c_void;
pub type Driver = fn(Find<'_>) -> String;

/// Calls a function of the project: its name, its type, its arguments.
macro_rules! call {
    ($find:expr, $name:literal, fn($($kind:ty),*) -> $result:ty, $($argument:expr),*) => {{
        let found = $find($name);
        assert!(!found.is_null(), "{:?} isn't there", $name);
        // SAFETY: the type is the one that the project's header declares.
        unsafe { std::mem::transmute::<*const c_void, unsafe extern "C" fn($($kind),*) -> $result>(found)($($argument),*) }
    }};
}

type Pointer = *mut c_void;

fn text(pointer: *const c_char) -> String {
    // SAFETY: the projects return strings that end with NUL, or NULL.
    if pointer.is_null() { "NULL".to_owned() } else { unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned() }
}

extern "C" fn row(rows: Pointer, count: c_int, values: *const *const c_char, _names: *const *const c_char) -> c_int {
    // SAFETY: `rows` is what `sqlite` passes, and `values` has `count` strings.
    let (rows, values) = unsafe { (&mut *rows.cast::<String>(), std::slice::from_raw_parts(values, count as usize)) };
    for value in values {
        *rows += &text(*value);
        rows.push('|');
    }
    rows.push('\n');
    0
}

/// Tables, an index, recursion, window functions, numbers and text.
pub fn sqlite(find: Find<'_>) -> String {
    const SQL: &CStr = c"
        create table t(a integer primary key, b text, c real);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
            insert into t select i, printf('%05d-%s', (i * 7919) % 20011, hex(i)), sqrt(i) from n;
        create index t_b on t(b);
        select count(*), sum(a), round(total(c), 6), min(b), max(b) from t;
        select b from t where b like '00%5-%' order by b desc limit 5;
        select a, sum(a) over (order by a rows 2 preceding), upper(b) from t where a % 5000 = 1;
        select json_extract('{\"k\": [1, 2, {\"x\": \"y\"}]}', '$.k[2].x'), datetime(86400, 'unixepoch');
        delete from t where a % 3 = 0; vacuum; pragma integrity_check;";
    let (mut database, mut rows): (Pointer, String) = (null_mut(), String::new());
    let opened =
        call!(find, c"sqlite3_open", fn(*const c_char, *mut Pointer) -> c_int, c":memory:".as_ptr(), &raw mut database);
    let run = call!(
        find,
        c"sqlite3_exec",
        fn(Pointer, *const c_char, *const c_void, Pointer, *mut *mut c_char) -> c_int,
        database,
        SQL.as_ptr(),
        row as *const c_void,
        (&raw mut rows).cast(),
        null_mut()
    );
    let closed = call!(find, c"sqlite3_close", fn(Pointer) -> c_int, database);
    format!("{opened} {run} {closed}\n{rows}")
}

/// Compresses and decompresses at several levels.
pub fn zstd(find: Find<'_>) -> String {
    let data: Vec<u8> =
        (0..400_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> (20 + i / 10_000 % 8)) as u8).collect();
    let mut sizes = String::new();
    for level in [1, 5, 12, 19] {
        let mut packed = vec![0u8; data.len() + 4096];
        let mut back = vec![0u8; data.len()];
        let len = call!(
            find,
            c"compress",
            fn(Pointer, usize, *const u8, usize, c_int) -> usize,
            packed.as_mut_ptr().cast(),
            packed.len(),
            data.as_ptr(),
            data.len(),
            level
        );
        let restored = call!(
            find,
            c"decompress",
            fn(Pointer, usize, *const u8, usize) -> usize,
            back.as_mut_ptr().cast(),
            back.len(),
            packed.as_ptr(),
            len
        );
        assert_eq!((restored, &back), (data.len(), &data), "level {level}");
        sizes += &format!("{level}: {len}\n");
    }
    sizes
}

/// Strings, closures, tables and a loop that the JIT compiles.
pub fn luajit(find: Find<'_>) -> String {
    const PROGRAM: &CStr = c"
        local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
        local sum, parts = 0, {}
        for i = 1, 2000000 do sum = (sum * 31 + i) % 1000003 end
        for word in ('saved once, run again'):gmatch('%a+') do parts[#parts + 1] = word:upper() end
        table.sort(parts)
        local ok, why = pcall(error, 'thrown')
        return table.concat({fib(24), sum, table.concat(parts, '-'), tostring(ok), why, string.format('%.6f', math.sin(1))}, ' ')";
    let state = call!(find, c"luaL_newstate", fn() -> Pointer,);
    call!(find, c"luaL_openlibs", fn(Pointer) -> (), state);
    let loaded = call!(find, c"luaL_loadstring", fn(Pointer, *const c_char) -> c_int, state, PROGRAM.as_ptr());
    let called = call!(find, c"lua_pcall", fn(Pointer, c_int, c_int, c_int) -> c_int, state, 0, 1, 0);
    let found = call!(find, c"lua_tolstring", fn(Pointer, c_int, *mut usize) -> *const c_char, state, -1, null_mut());
    let result = format!("{loaded} {called} {}", text(found));
    call!(find, c"lua_close", fn(Pointer) -> (), state);
    result
}

/// A value of QuickJS: 8 bytes, and a tag.
#[repr(C)]
#[derive(Clone, Copy)]
struct JsValue(u64, i64);

/// Regular expressions, closures, exceptions, numbers and big integers.
pub fn quickjs(find: Find<'_>) -> String {
    const PROGRAM: &CStr = c"
        const squares = Array.from({length: 2000}, (_, i) => i * i).filter(x => x % 7 == 2);
        const words = 'saved once, run again'.match(/[a-z]+/g).map(w => w[0].toUpperCase() + w.slice(1));
        let caught; try { null.x } catch (e) { caught = e instanceof TypeError }
        JSON.stringify([squares.length, squares.at(-1), words, caught, String(2n ** 200n), Math.hypot(3, 4), [3, 1, 2].sort()])";
    let runtime = call!(find, c"JS_NewRuntime", fn() -> Pointer,);
    let context = call!(find, c"JS_NewContext", fn(Pointer) -> Pointer, runtime);
    let value = call!(
        find,
        c"JS_Eval",
        fn(Pointer, *const c_char, usize, *const c_char, c_int) -> JsValue,
        context,
        PROGRAM.as_ptr(),
        PROGRAM.count_bytes(),
        c"driver.js".as_ptr(),
        0
    );
    let found = call!(
        find,
        c"JS_ToCStringLen2",
        fn(Pointer, *mut usize, JsValue, bool) -> *const c_char,
        context,
        null_mut(),
        value,
        false
    );
    let result = text(found);
    call!(find, c"JS_FreeCString", fn(Pointer, *const c_char) -> (), context, found);
    result
}

/// Digests, through the tables of algorithms that the library builds when it is first used.
pub fn openssl(find: Find<'_>) -> String {
    let data: Vec<u8> = (0..100_000u32).map(|i| (i * i >> 3) as u8).collect();
    let mut digests = String::new();
    for name in [c"SHA256", c"SHA512", c"SHA3-256", c"BLAKE2b512", c"MD5"] {
        let (mut digest, mut len) = ([0u8; 64], 0usize);
        let done = call!(
            find,
            c"EVP_Q_digest",
            fn(*const c_void, *const c_char, *const c_char, *const u8, usize, *mut u8, *mut usize) -> c_int,
            null(),
            name.as_ptr(),
            null(),
            data.as_ptr(),
            data.len(),
            digest.as_mut_ptr(),
            &raw mut len
        );
        let hex: Vec<String> = digest.iter().take(len).map(|byte| format!("{byte:02x}")).collect();
        digests += &format!("{name:?} {done} {}\n", hex.concat());
    }
    digests
}

/// Segmentation and normalization of text, with the font that has no glyphs.
pub fn harfbuzz(find: Find<'_>) -> String {
    let text_in = "Grüße, שלום, नमस्ते";
    let buffer = call!(find, c"hb_buffer_create", fn() -> Pointer,);
    let len = text_in.len() as c_int;
    call!(
        find,
        c"hb_buffer_add_utf8",
        fn(Pointer, *const u8, c_int, u32, c_int) -> (),
        buffer,
        text_in.as_ptr(),
        len,
        0,
        len
    );
    call!(find, c"hb_buffer_guess_segment_properties", fn(Pointer) -> (), buffer);
    let font = call!(find, c"hb_font_get_empty", fn() -> Pointer,);
    call!(find, c"hb_shape", fn(Pointer, Pointer, *const c_void, u32) -> (), font, buffer, null(), 0);
    let glyphs = call!(find, c"hb_buffer_get_length", fn(Pointer) -> u32, buffer);
    let script = call!(find, c"hb_buffer_get_script", fn(Pointer) -> u32, buffer);
    call!(find, c"hb_buffer_destroy", fn(Pointer) -> (), buffer);
    format!("{glyphs} {script:#x} {}", text(call!(find, c"hb_version_string", fn() -> *const c_char,)))
}

/// Allocates and frees blocks of many sizes in several threads.
pub fn mimalloc(find: Find<'_>) -> String {
    let allocate = find(c"mi_malloc") as usize;
    let free = find(c"mi_free") as usize;
    allocator(allocate, free)
}

/// The same with jemalloc.
pub fn jemalloc(find: Find<'_>) -> String {
    let allocate = find(c"_rjem_malloc") as usize;
    let free = find(c"_rjem_free") as usize;
    allocator(allocate, free)
}

fn allocator(allocate: usize, free: usize) -> String {
    assert!(allocate != 0 && free != 0);
    // SAFETY: functions like `malloc` and `free`.
    let (allocate, free) = unsafe {
        let allocate: unsafe extern "C" fn(usize) -> *mut u8 = std::mem::transmute(allocate);
        let free: unsafe extern "C" fn(*mut u8) = std::mem::transmute(free);
        (allocate, free)
    };
    let run = move |seed: usize| {
        let mut total = 0usize;
        for round in 0..20 {
            let sizes: Vec<usize> = (1..200).map(|i| (i * i * seed + round) % 70_000 + 1).collect();
            // SAFETY: each block is written within its size and freed once.
            let blocks: Vec<*mut u8> = sizes.iter().map(|size| unsafe { allocate(*size) }).collect();
            for (block, size) in blocks.iter().zip(&sizes) {
                unsafe { block.write_bytes(seed as u8, *size) };
                total += unsafe { usize::from(*block.add(size - 1)) };
            }
            blocks.into_iter().for_each(|block| unsafe { free(block) });
        }
        total
    };
    let threads: Vec<_> = (1..5).map(|seed| std::thread::spawn(move || run(seed))).collect();
    let totals: Vec<String> = threads.into_iter().map(|thread| thread.join().unwrap().to_string()).collect();
    format!("{} {}", run(7), totals.join(" "))
}
