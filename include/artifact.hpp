// libartifact for C++17 and newer: artifact.h, which stays the manual, with handles that free themselves, views, ranges
// and exceptions. Header-only, and one file, which a program can take along; a call costs what the C call costs, and at
// most the move of a view to its place.
//
//     artifact::engine engine;                                          saving: what your compiler used
//     engine.set_flag(artifact::flag_map::isa, "avx2", true);
//     auto builder = artifact::builder::create(engine);
//     builder.add_module(elf);
//     builder.serialize_to_file("code.artifact");
//
//     auto host = artifact::engine::host();                             using: what this CPU has
//     auto file = artifact::file::open("code.artifact", host);
//     if (!file.fits(host)) …                                           or check_compat(), which says why not
//     for (auto symbol : file.main_module().symbols()) std::cout << symbol.name() << '\n';
//     auto code = file.load(host);
//     std::cout << code.function<int(int)>("fib")(42);
//
// Names. artifact_engine_set_target(engine, triple, &error) is engine.set_target(triple); an opened artifact is a file.
// Enumerators are those of C without their prefix.
//
// Errors. What fails throws artifact::error. Without exceptions (-fno-exceptions, or ARTIFACT_NO_EXCEPTIONS defined
// before this header) every function that returns a result<T> returns one that holds either a T or an error. With
// exceptions result<T> is T itself. The two may be mixed in one program.
//
// Lifetimes. A handle (engine, builder, file, code, report, key, buffer) owns and is as large as a pointer; it is
// moved, not copied. An empty one, which has been moved from, is refused by every call. What is called a view, every
// std::string_view, bytes and range borrows: it is valid until the handle that it was asked of is gone, however many
// views stand in between. ARTIFACT_BORROWS tells clang, which warns where a view outlives a temporary handle.
//
// Threads. const functions may run in many threads at once; the others in one at a time.
#ifndef ARTIFACT_HPP
#define ARTIFACT_HPP

// An older compiler would report hundreds of errors, so it gets one and skips the rest of the file. MSVC keeps
// __cplusplus at 199711L unless told otherwise; _MSVC_LANG is its real version.
#ifdef _MSVC_LANG
#define ARTIFACT_HPP_LANGUAGE _MSVC_LANG
#else
#define ARTIFACT_HPP_LANGUAGE __cplusplus
#endif
#if ARTIFACT_HPP_LANGUAGE < 201703L
#error "artifact.hpp needs C++17 or newer: compile with -std=c++17 (MSVC: /std:c++17)"
#else

#include "artifact.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#if ARTIFACT_HPP_LANGUAGE >= 202002L
#include <version>
#endif
#ifdef __cpp_lib_span
#include <span>
#endif
#ifdef __cpp_lib_ranges
#include <ranges>
#endif

#if !defined(ARTIFACT_NO_EXCEPTIONS) && !defined(__cpp_exceptions)
#define ARTIFACT_NO_EXCEPTIONS
#endif

#if defined(__has_cpp_attribute) && defined(__clang__)
#if __has_cpp_attribute(clang::lifetimebound)
#define ARTIFACT_BORROWS [[clang::lifetimebound]]
#endif
#endif
#ifndef ARTIFACT_BORROWS
#define ARTIFACT_BORROWS
#endif

// Functions whose signature depends on the language mode stand in a namespace of that mode.
#if defined(ARTIFACT_NO_EXCEPTIONS) && defined(__cpp_lib_span)
#define ARTIFACT_HPP_MODE results_span
#elif defined(ARTIFACT_NO_EXCEPTIONS)
#define ARTIFACT_HPP_MODE results
#elif defined(__cpp_lib_span)
#define ARTIFACT_HPP_MODE throws_span
#else
#define ARTIFACT_HPP_MODE throws
#endif

namespace artifact {

// ==== Enumerations: artifact.h says what they mean ====

enum class status : std::uint32_t {
    ok = ARTIFACT_OK,
    invalid_argument = ARTIFACT_INVALID_ARGUMENT,
    io = ARTIFACT_IO,
    limit = ARTIFACT_LIMIT,
    no_memory = ARTIFACT_NO_MEMORY,
    not_found = ARTIFACT_NOT_FOUND,
    not_an_artifact = ARTIFACT_NOT_AN_ARTIFACT,
    truncated = ARTIFACT_TRUNCATED,
    corrupt = ARTIFACT_CORRUPT,
    digest_mismatch = ARTIFACT_DIGEST_MISMATCH,
    incompatible = ARTIFACT_INCOMPATIBLE,
    wrong_version = ARTIFACT_WRONG_VERSION,
    wrong_producer = ARTIFACT_WRONG_PRODUCER,
    unsupported = ARTIFACT_UNSUPPORTED,
    untrusted = ARTIFACT_UNTRUSTED,
    unresolved = ARTIFACT_UNRESOLVED,
    internal = ARTIFACT_INTERNAL,
};

/// Whether a status is one of those that a damaged file gives: 11 to 19.
constexpr bool is_damage(status which) noexcept {
    return static_cast<std::uint32_t>(which) >= 11 && static_cast<std::uint32_t>(which) <= 19;
}

/// Whether a status is one of those of a sound file that is stale or foreign, and to be made anew: 20 to 29.
constexpr bool is_stale(status which) noexcept {
    return static_cast<std::uint32_t>(which) >= 20 && static_cast<std::uint32_t>(which) <= 29;
}

enum class version_rule : std::uint32_t {
    library = ARTIFACT_VERSION_RULE_LIBRARY,
    custom = ARTIFACT_VERSION_RULE_CUSTOM,
    none = ARTIFACT_VERSION_RULE_NONE,
};

enum class flag_map : std::uint32_t { shared = ARTIFACT_FLAGS_SHARED, isa = ARTIFACT_FLAGS_ISA };

enum class flag_kind : std::uint32_t {
    word = ARTIFACT_FLAG_ENUM,
    number = ARTIFACT_FLAG_NUM,
    boolean = ARTIFACT_FLAG_BOOL,
};

enum class tunable : std::uint32_t {
    static_memory_bound = ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND,
    static_memory_offset_guard_size = ARTIFACT_TUNABLE_STATIC_MEMORY_OFFSET_GUARD_SIZE,
    dynamic_memory_offset_guard_size = ARTIFACT_TUNABLE_DYNAMIC_MEMORY_OFFSET_GUARD_SIZE,
    dynamic_memory_growth_reserve = ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE,
    generate_native_debuginfo = ARTIFACT_TUNABLE_GENERATE_NATIVE_DEBUGINFO,
    parse_wasm_debuginfo = ARTIFACT_TUNABLE_PARSE_WASM_DEBUGINFO,
    interruptable = ARTIFACT_TUNABLE_INTERRUPTABLE,
    consume_fuel = ARTIFACT_TUNABLE_CONSUME_FUEL,
    static_memory_bound_is_maximum = ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND_IS_MAXIMUM,
    guard_before_linear_memory = ARTIFACT_TUNABLE_GUARD_BEFORE_LINEAR_MEMORY,
    generate_address_map = ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP,
};

enum class feature : std::uint32_t {
    reference_types = ARTIFACT_FEATURE_REFERENCE_TYPES,
    multi_value = ARTIFACT_FEATURE_MULTI_VALUE,
    bulk_memory = ARTIFACT_FEATURE_BULK_MEMORY,
    module_linking = ARTIFACT_FEATURE_MODULE_LINKING,
    simd = ARTIFACT_FEATURE_SIMD,
    threads = ARTIFACT_FEATURE_THREADS,
    tail_call = ARTIFACT_FEATURE_TAIL_CALL,
    deterministic_only = ARTIFACT_FEATURE_DETERMINISTIC_ONLY,
    multi_memory = ARTIFACT_FEATURE_MULTI_MEMORY,
    exceptions = ARTIFACT_FEATURE_EXCEPTIONS,
    memory64 = ARTIFACT_FEATURE_MEMORY64,
};

/// As wide as in the arrays of C.
enum class wasm_type : std::uint8_t {
    i32 = ARTIFACT_WASM_I32,
    i64 = ARTIFACT_WASM_I64,
    f32 = ARTIFACT_WASM_F32,
    f64 = ARTIFACT_WASM_F64,
    v128 = ARTIFACT_WASM_V128,
    funcref = ARTIFACT_WASM_FUNCREF,
    externref = ARTIFACT_WASM_EXTERNREF,
    exnref = ARTIFACT_WASM_EXNREF,
};

enum class entity_kind : std::uint32_t {
    global = ARTIFACT_ENTITY_GLOBAL,
    memory = ARTIFACT_ENTITY_MEMORY,
    tag = ARTIFACT_ENTITY_TAG,
    table = ARTIFACT_ENTITY_TABLE,
    function = ARTIFACT_ENTITY_FUNCTION,
    instance = ARTIFACT_ENTITY_INSTANCE,
    module = ARTIFACT_ENTITY_MODULE,
};

enum class init_kind : std::uint32_t {
    i32 = ARTIFACT_INIT_I32,
    i64 = ARTIFACT_INIT_I64,
    f32 = ARTIFACT_INIT_F32,
    f64 = ARTIFACT_INIT_F64,
    v128 = ARTIFACT_INIT_V128,
    get_global = ARTIFACT_INIT_GET_GLOBAL,
    ref_null = ARTIFACT_INIT_REF_NULL,
    ref_func = ARTIFACT_INIT_REF_FUNC,
    import = ARTIFACT_INIT_IMPORT,
};

enum class integrity : std::uint32_t {
    none = ARTIFACT_INTEGRITY_NONE,
    digests = ARTIFACT_INTEGRITY_DIGESTS,
    signed_by_trusted = ARTIFACT_INTEGRITY_SIGNED,
};

enum class byte_order : std::uint32_t { little = ARTIFACT_LITTLE_ENDIAN, big = ARTIFACT_BIG_ENDIAN };

enum class report_kind : std::uint32_t {
    producer = ARTIFACT_REPORT_PRODUCER,
    version = ARTIFACT_REPORT_VERSION,
    architecture = ARTIFACT_REPORT_ARCHITECTURE,
    operating_system = ARTIFACT_REPORT_OPERATING_SYSTEM,
    shared_flag = ARTIFACT_REPORT_SHARED_FLAG,
    isa_flag = ARTIFACT_REPORT_ISA_FLAG,
    tunable = ARTIFACT_REPORT_TUNABLE,
    feature = ARTIFACT_REPORT_FEATURE,
    link = ARTIFACT_REPORT_LINK,
    padding = ARTIFACT_REPORT_PADDING,
    machine = ARTIFACT_REPORT_MACHINE,
    section = ARTIFACT_REPORT_SECTION,
    metadata = ARTIFACT_REPORT_METADATA,
    trailing_bytes = ARTIFACT_REPORT_TRAILING_BYTES,
    signature = ARTIFACT_REPORT_SIGNATURE,
};

enum class detected : std::uint32_t { nothing = ARTIFACT_DETECTED_NOTHING, artifact = ARTIFACT_DETECTED_ARTIFACT };

// ==== Library ====

/// The version of the library, not of this header, as ARTIFACT_VERSION_NUMBER.
inline std::uint32_t version() noexcept { return artifact_version(); }

/// The same as text.
inline std::string_view version_string() noexcept { return artifact_version_string(); }

/// The name in C, such as "ARTIFACT_CORRUPT".
inline std::string_view status_name(status which) noexcept {
    return artifact_status_name(static_cast<std::uint32_t>(which));
}

// ==== Arguments ====

/// NUL-terminated text or a path, for the time of a call: a literal, or anything with a c_str(), such as std::string
/// and std::filesystem::path. Not a std::string_view, which would have to be copied to get its NUL.
class c_string {
  public:
    c_string(const char *text) noexcept : text_(text) {}
    template <class Text, class = decltype(static_cast<const char *>(std::declval<const Text &>().c_str()))>
    c_string(const Text &text) noexcept : text_(text.c_str()) {}

    const char *get() const noexcept { return text_; }

  private:
    const char *text_;
};

/// How to link.
struct link_options {
    /// Keep what only debuggers read; false is ARTIFACT_LINK_NO_DEBUG.
    bool debug = true;
};

/// How to save.
struct save_options {
    /// Wait until the file is on the disk. False is for caches: see ARTIFACT_SAVE_NO_SYNC.
    bool sync = true;
};

/// An entity of a type. As in artifact_entity_t, each kind uses some of the fields.
struct entity {
    entity_kind kind = entity_kind::function;
    /// Function, instance, module, tag: the index of its type.
    std::uint32_t index = 0;
    /// Global, table.
    wasm_type type = wasm_type::i32;
    /// Global: how it begins, and the bits of its initial value.
    init_kind init = init_kind::i32;
    std::uint64_t init_low = 0;
    std::uint64_t init_high = 0;
    /// Memory: pages. Table: elements.
    std::uint64_t minimum = 0;
    std::optional<std::uint64_t> maximum = std::nullopt;
    /// Global.
    bool is_mutable = false;
    /// Memory.
    bool is_shared = false;
    bool is_memory64 = false;
};

// ==== Ranges ====

/// What is asked for by index, as a range of random access. Elements are made when they are asked for: where that can
/// fail, the iterator throws, or without exceptions gives a result. Copies are as good as the original, and its
/// iterators outlive it.
template <class Get> class range {
  public:
    class iterator;
    using value_type = decltype(std::declval<const Get &>()(std::size_t{}));

    range(Get get, std::size_t size) noexcept : get_(get), size_(size) {}

    iterator begin() const noexcept { return iterator(get_, 0); }
    iterator end() const noexcept { return iterator(get_, size_); }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    /// Past the end: status::not_found, where the elements are asked of the library.
    value_type operator[](std::size_t index) const { return get_(index); }

  private:
    Get get_;
    std::size_t size_;
};

template <class Get> class range<Get>::iterator {
  public:
    using value_type = typename range::value_type;
    using reference = value_type;
    using pointer = void;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag; // for C++17, where others give references
    using iterator_concept = std::random_access_iterator_tag;

    iterator() = default;
    iterator(Get get, std::size_t index) noexcept : get_(get), index_(index) {}

    value_type operator*() const { return get_(index_); }
    value_type operator[](difference_type n) const { return get_(index_ + static_cast<std::size_t>(n)); }
    iterator &operator++() noexcept { return *this += 1; }
    iterator &operator--() noexcept { return *this -= 1; }
    iterator operator++(int) noexcept { return std::exchange(*this, *this + 1); }
    iterator operator--(int) noexcept { return std::exchange(*this, *this - 1); }
    iterator &operator+=(difference_type n) noexcept {
        index_ += static_cast<std::size_t>(n);
        return *this;
    }
    iterator &operator-=(difference_type n) noexcept {
        index_ -= static_cast<std::size_t>(n);
        return *this;
    }
    friend iterator operator+(iterator i, difference_type n) noexcept { return i += n; }
    friend iterator operator+(difference_type n, iterator i) noexcept { return i += n; }
    friend iterator operator-(iterator i, difference_type n) noexcept { return i -= n; }
    friend difference_type operator-(const iterator &a, const iterator &b) noexcept {
        return static_cast<difference_type>(a.index_) - static_cast<difference_type>(b.index_);
    }
    friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.index_ == b.index_; }
    friend bool operator!=(const iterator &a, const iterator &b) noexcept { return a.index_ != b.index_; }
    friend bool operator<(const iterator &a, const iterator &b) noexcept { return a.index_ < b.index_; }
    friend bool operator>(const iterator &a, const iterator &b) noexcept { return a.index_ > b.index_; }
    friend bool operator<=(const iterator &a, const iterator &b) noexcept { return a.index_ <= b.index_; }
    friend bool operator>=(const iterator &a, const iterator &b) noexcept { return a.index_ >= b.index_; }

  private:
    Get get_{};
    std::size_t index_ = 0;
};

// ==== Errors ====

/// Why a call failed. what() is one sentence: what was expected, what was found, where. Copies share what they say.
class [[gnu::visibility("default")]] error : public std::runtime_error {
  public:
    struct missing_at {
        const artifact_error_t *error;
        std::string_view operator()(std::size_t index) const noexcept {
            const char *name = artifact_error_missing(error, index);
            return name ? std::string_view(name) : std::string_view();
        }
    };

    /// Takes ownership of an error that the C interface gave.
    [[gnu::noinline, gnu::cold]] explicit error(artifact_error_t * owned)
        : error(std::shared_ptr<const artifact_error_t>(owned, artifact_error_free)) {}
    /// One that the library didn't give: only status and what() say something.
    error(artifact::status status, const std::string &what) : std::runtime_error(what), status_(status) {}

    artifact::status status() const noexcept { return status_; }

    /// Where in the file or bytes, if it is about a place.
    std::optional<std::uint64_t> offset() const noexcept {
        const std::uint64_t offset = artifact_error_offset(raw_.get());
        return offset == UINT64_MAX ? std::nullopt : std::optional(offset);
    }

    /// The operating system's errno; none, which is false, if it had no part in it.
    std::error_code code() const noexcept { return {artifact_error_errno(raw_.get()), std::generic_category()}; }

    /// The names that nobody defines, of status::unresolved; empty past the last one. They live as long as an error
    /// that says them.
    range<missing_at> missing() const noexcept ARTIFACT_BORROWS {
        return {{raw_.get()}, artifact_error_missing_count(raw_.get())};
    }

    /// nullptr where the library didn't give it.
    const artifact_error_t *get() const noexcept { return raw_.get(); }

  private:
    explicit error(std::shared_ptr<const artifact_error_t> raw)
        : std::runtime_error(artifact_error_message(raw.get())), status_{artifact_error_status(raw.get())},
          raw_(std::move(raw)) {}

    artifact::status status_;
    std::shared_ptr<const artifact_error_t> raw_ = nullptr;
};

inline namespace ARTIFACT_HPP_MODE {

#ifdef ARTIFACT_NO_EXCEPTIONS

/// A T, or why there is none; as much of C++23's std::expected as is needed here. To look for what isn't there ends the
/// process.
template <class T> class [[nodiscard]] result {
  public:
    using value_type = T;
    result(T held) : holds_(std::in_place_index<0>, std::move(held)) {}
    result(artifact::error error) : holds_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return holds_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }
    T &value() &noexcept { return *wanted(std::get_if<0>(&holds_)); }
    const T &value() const &noexcept { return *wanted(std::get_if<0>(&holds_)); }
    T &&value() &&noexcept { return std::move(*wanted(std::get_if<0>(&holds_))); }
    T &operator*() &noexcept { return value(); }
    const T &operator*() const &noexcept { return value(); }
    T &&operator*() &&noexcept { return std::move(*this).value(); }
    T *operator->() noexcept { return &value(); }
    const T *operator->() const noexcept { return &value(); }
    template <class Other> T value_or(Other &&other) && {
        return has_value() ? std::move(*this).value() : static_cast<T>(std::forward<Other>(other));
    }
    const artifact::error &error() const noexcept { return *wanted(std::get_if<1>(&holds_)); }

  private:
    template <class Held> static Held *wanted(Held *held) noexcept {
        if (!held) std::terminate();
        return held;
    }

    std::variant<T, artifact::error> holds_;
};

/// Success, or why there is none.
template <> class [[nodiscard]] result<void> {
  public:
    using value_type = void;
    result() noexcept = default;
    result(artifact::error error) : error_(std::move(error)) {}

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }
    const artifact::error &error() const noexcept {
        if (!error_) std::terminate();
        return *error_;
    }

  private:
    std::optional<artifact::error> error_;
};

#else

/// What a function gives that throws artifact::error if it fails.
template <class T> using result = T;

#endif

namespace detail {

#ifdef ARTIFACT_NO_EXCEPTIONS

template <class Make, class T = std::invoke_result_t<Make>>
result<T> give(artifact_status_t status, artifact_error_t *raw, Make make) {
    if (status != ARTIFACT_OK) return artifact::error(raw);
    return make();
}

inline result<void> done(artifact_status_t status, artifact_error_t *raw) {
    if (status != ARTIFACT_OK) return artifact::error(raw);
    return {};
}

#else

[[noreturn, gnu::noinline, gnu::cold]] inline void fail(artifact_error_t *raw) { throw artifact::error(raw); }

template <class Make, class T = std::invoke_result_t<Make>>
T give(artifact_status_t status, artifact_error_t *raw, Make make) {
    if (status != ARTIFACT_OK) fail(raw);
    return make();
}

inline void done(artifact_status_t status, artifact_error_t *raw) {
    if (status != ARTIFACT_OK) fail(raw);
}

#endif

/// Calls a C function that takes an error last. Inlined always: it would be called through a pointer otherwise.
template <class Function, class... In> [[gnu::always_inline]] inline result<void> run(Function *function, In... in) {
    artifact_error_t *error;
    const artifact_status_t status = function(in..., &error);
    return done(status, error);
}

/// How the library's value becomes ours.
template <class T> struct make {
    template <class Raw> T operator()(const Raw &raw) const noexcept { return T(raw); }
};

/// Calls a C function that takes an out-parameter, of which the result is made, and an error last.
template <class Raw, class Make, class Function, class... In>
[[gnu::always_inline]] inline auto call(Make make, Function *function, In... in) {
    Raw raw; // written on every path, as error is
    artifact_error_t *error;
    const artifact_status_t status = function(in..., &raw, &error);
    return give(status, error, [&] { return make(raw); });
}

template <class T, class Raw = T, class Function, class... In>
[[gnu::always_inline]] inline auto read(Function *function, In... in) {
    return call<Raw>(make<T>(), function, in...);
}

/// The same where ARTIFACT_NOT_FOUND is an answer.
template <class T, class Raw, class Function, class... In>
[[gnu::always_inline]] inline auto find(Function *function, In... in) {
    Raw raw;
    artifact_error_t *error;
    artifact_status_t status = function(in..., &raw, &error);
    const bool missing = status == ARTIFACT_NOT_FOUND;
    if (missing) {
        artifact_error_free(error);
        status = ARTIFACT_OK;
    }
    return give(status, error, [&] { return missing ? std::nullopt : std::optional<T>(make<T>()(raw)); });
}

/// Owns what a _new gave.
template <class Raw, void (*Free)(Raw *)> class handle {
  public:
    /// Takes ownership of a handle of the C interface.
    explicit handle(Raw *owned) noexcept : raw_(owned) {}

    Raw *get() const noexcept { return raw_.get(); }
    /// Gives up ownership: free it with the C function, or with another handle.
    [[nodiscard]] Raw *release() noexcept { return raw_.release(); }
    explicit operator bool() const noexcept { return raw_ != nullptr; }

  private:
    struct free {
        void operator()(Raw *raw) const noexcept { Free(raw); }
    };
    std::unique_ptr<Raw, free> raw_;
};

template <class Enum> constexpr std::uint32_t number(Enum value) noexcept { return static_cast<std::uint32_t>(value); }

inline std::string_view text(const char *borrowed) noexcept {
    return borrowed ? std::string_view(borrowed) : std::string_view();
}

} // namespace detail

// ==== Bytes ====

#ifdef __cpp_lib_span

template <class T> using span = std::span<T>;

#else

/// As much of C++20's std::span as is needed here.
template <class T> class span {
  public:
    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N> constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
    template <class Container, class Data = decltype(std::declval<Container &>().data()),
              class = decltype(std::declval<Container &>().size()),
              class = std::enable_if_t<std::is_convertible_v<std::remove_pointer_t<Data> (*)[], T (*)[]>>>
    constexpr span(Container &&container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

#endif

/// Borrowed bytes.
using bytes = span<const std::uint8_t>;

/// The bytes of a std::string, a vector of char or std::byte, or anything else that has data(), size() and elements of
/// one byte.
template <class Container> bytes bytes_of(const Container &container ARTIFACT_BORROWS) noexcept {
    static_assert(sizeof(*container.data()) == 1);
    return {reinterpret_cast<const std::uint8_t *>(container.data()), container.size()};
}

/// Bytes read as text.
inline std::string_view text_of(bytes borrowed) noexcept {
    return {reinterpret_cast<const char *>(borrowed.data()), borrowed.size()};
}

namespace detail {

template <> struct make<bytes> {
    bytes operator()(const artifact_slice_t &slice) const noexcept { return {slice.data, slice.len}; }
};

} // namespace detail

/// Owned bytes; text in them is NUL-terminated.
class buffer : public detail::handle<artifact_buffer_t, artifact_buffer_free> {
  public:
    using handle::handle;

    const std::uint8_t *data() const noexcept ARTIFACT_BORROWS { return artifact_buffer_data(get()); }
    std::size_t size() const noexcept { return artifact_buffer_len(get()); }
    const std::uint8_t *begin() const noexcept ARTIFACT_BORROWS { return data(); }
    const std::uint8_t *end() const noexcept ARTIFACT_BORROWS { return data() + size(); }
    std::string_view text() const noexcept ARTIFACT_BORROWS { return text_of({data(), size()}); }
};

/// How to open.
struct open_options {
    /// Do what file::verify() does while opening: ARTIFACT_OPEN_VERIFY.
    bool verify = false;
    /// Read everything into private memory first: ARTIFACT_OPEN_COPY.
    bool copy = false;
    /// Where the artifact begins in the file or bytes.
    std::uint64_t offset = 0;
    /// Its length; 0: to the end.
    std::uint64_t length = 0;
    /// Most bytes of Metadata to read; 0, or more than that: 64 MiB.
    std::uint64_t memory_limit = 0;
    /// Detached signatures, one behind the other, for an engine with trusted keys.
    bytes signature = {};
};

// ==== Keys ====

/// What stands before a root record where it is signed, its NUL being part of it.
inline constexpr std::string_view signature_context{ARTIFACT_SIGNATURE_CONTEXT, sizeof ARTIFACT_SIGNATURE_CONTEXT};

/// A public key: a value.
class public_key {
  public:
    explicit public_key(const artifact_public_key_t &raw) noexcept : raw_(raw) {}

    static result<public_key> from_pem(c_string pem) {
        return detail::read<public_key, artifact_public_key_t>(artifact_public_key_from_pem, pem.get());
    }
    result<buffer> to_pem() const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_public_key_to_pem, &raw_);
    }
    /// The 32 bytes of RFC 8032.
    artifact::bytes bytes() const noexcept ARTIFACT_BORROWS { return raw_.bytes; }
    const artifact_public_key_t &get() const noexcept ARTIFACT_BORROWS { return raw_; }

    friend bool operator==(const public_key &a, const public_key &b) noexcept {
        return text_of(a.bytes()) == text_of(b.bytes());
    }
    friend bool operator!=(const public_key &a, const public_key &b) noexcept { return !(a == b); }

  private:
    artifact_public_key_t raw_;
};

/// A private key, which is wiped from memory when it goes.
class key : public detail::handle<artifact_key_t, artifact_key_free> {
  public:
    using handle::handle;

    static result<key> generate() { return detail::read<key, artifact_key_t *>(artifact_key_generate); }
    static result<key> from_pem(c_string pem) {
        return detail::read<key, artifact_key_t *>(artifact_key_from_pem, pem.get());
    }
    /// Wiped when it goes, too.
    result<buffer> to_pem() const { return detail::read<buffer, artifact_buffer_t *>(artifact_key_to_pem, get()); }
    /// In a new file, which only its owner can read.
    result<void> save(c_string path) const { return detail::run(artifact_key_save, get(), path.get()); }
    result<artifact::public_key> public_key() const {
        return detail::read<artifact::public_key, artifact_public_key_t>(artifact_key_public, get());
    }
};

namespace detail {

/// The keys of an engine or artifact, by their index.
template <class Raw, auto Function> struct key_at {
    const Raw *of;
    result<public_key> operator()(std::size_t index) const {
        return read<public_key, artifact_public_key_t>(Function, of, index);
    }
};

} // namespace detail

// ==== Settings ====

/// A compiler flag.
class flag_view {
  public:
    explicit flag_view(const artifact_flag_t &raw) noexcept : raw_(raw) {}

    std::string_view name() const noexcept { return raw_.name; }
    flag_kind kind() const noexcept { return flag_kind{raw_.kind}; }
    /// The number, or 1 for on and 0 for off; 0 for a word.
    std::uint32_t value() const noexcept { return raw_.value; }
    /// The word; empty for the other kinds.
    std::string_view text() const noexcept { return detail::text(raw_.text); }

  private:
    artifact_flag_t raw_;
};

struct tunable_setting {
    artifact::tunable tunable;
    std::uint64_t value;
};

struct feature_setting {
    artifact::feature feature;
    bool on;
};

namespace detail {

constexpr std::size_t tunables = number(tunable::generate_address_map) + 1;
constexpr std::size_t features = number(feature::memory64) + 1;

/// The settings of an engine or artifact, by their index.
template <class Raw, auto Function> struct flag_at {
    const Raw *of;
    flag_map map;
    result<flag_view> operator()(std::size_t index) const {
        return read<flag_view, artifact_flag_t>(Function, of, number(map), index);
    }
};

template <class Raw, auto Function> struct tunable_at {
    const Raw *of;
    result<tunable_setting> operator()(std::size_t index) const {
        const auto which = static_cast<tunable>(index);
        return call<std::uint64_t>(
            [=](std::uint64_t value) {
                return tunable_setting{which, value};
            },
            Function, of, number(which));
    }
};

template <class Raw, auto Function> struct feature_at {
    const Raw *of;
    result<feature_setting> operator()(std::size_t index) const {
        const auto which = static_cast<feature>(index);
        return call<bool>([=](bool on) { return feature_setting{which, on}; }, Function, of, number(which));
    }
};

} // namespace detail

// ==== Engine: what a host compiles with, or runs ====

/// What a host compiles with, or runs. Builders, files and reports keep what they need of it: it may be changed or go
/// at any time after the call.
class engine : public detail::handle<artifact_engine_t, artifact_engine_free> {
  public:
    using handle::handle;

    /// This host's target and no flags: the baseline that a compiler fills in.
    engine() noexcept : handle(artifact_engine_new()) {}
    /// The same plus every instruction set of this very CPU: what files are checked against.
    static engine host() noexcept { return engine(artifact_engine_new_host()); }
    /// What Wasmtime 0.33 compiles with on this host by default.
    static engine wasmtime() noexcept { return engine(artifact_engine_new_wasmtime()); }
    static result<engine> from_json(c_string json) {
        return detail::read<engine, artifact_engine_t *>(artifact_engine_from_json, json.get());
    }
    engine clone() const noexcept { return engine(artifact_engine_clone(get())); }

    result<void> set_target(c_string triple) { return detail::run(artifact_engine_set_target, get(), triple.get()); }
    result<void> set_producer(c_string producer) {
        return detail::run(artifact_engine_set_producer, get(), producer.get());
    }
    /// custom is the version's text with version_rule::custom, and nullptr with the others.
    result<void> set_version_rule(artifact::version_rule rule, c_string custom = nullptr) {
        return detail::run(artifact_engine_set_version_rule, get(), detail::number(rule), custom.get());
    }
    /// On or off. A template, so that neither a pointer nor a number passes for a bool.
    template <class Bool, class = std::enable_if_t<std::is_same_v<Bool, bool>>>
    result<void> set_flag(flag_map map, c_string name, Bool value) {
        return detail::run(artifact_engine_set_flag_bool, get(), detail::number(map), name.get(), value);
    }
    result<void> set_flag(flag_map map, c_string name, std::uint8_t value) {
        return detail::run(artifact_engine_set_flag_num, get(), detail::number(map), name.get(), value);
    }
    result<void> set_flag(flag_map map, c_string name, c_string word) {
        return detail::run(artifact_engine_set_flag_enum, get(), detail::number(map), name.get(), word.get());
    }
    result<void> unset_flag(flag_map map, c_string name) {
        return detail::run(artifact_engine_unset_flag, get(), detail::number(map), name.get());
    }
    result<void> set_tunable(artifact::tunable which, std::uint64_t value) {
        return detail::run(artifact_engine_set_tunable, get(), detail::number(which), value);
    }
    result<void> set_feature(artifact::feature which, bool on) {
        return detail::run(artifact_engine_set_feature, get(), detail::number(which), on);
    }

    std::string_view target() const noexcept ARTIFACT_BORROWS { return detail::text(artifact_engine_target(get())); }
    std::string_view producer() const noexcept ARTIFACT_BORROWS {
        return detail::text(artifact_engine_producer(get()));
    }
    std::string_view version() const noexcept ARTIFACT_BORROWS { return detail::text(artifact_engine_version(get())); }
    artifact::version_rule version_rule() const noexcept {
        return artifact::version_rule{artifact_engine_version_rule(get())};
    }
    /// The flags of a map in the order of their names.
    auto flags(flag_map map) const noexcept ARTIFACT_BORROWS {
        using at = detail::flag_at<artifact_engine_t, artifact_engine_flag_at>;
        return range<at>({get(), map}, artifact_engine_flag_count(get(), detail::number(map)));
    }
    result<flag_view> flag(flag_map map, c_string name) const ARTIFACT_BORROWS {
        return detail::read<flag_view, artifact_flag_t>(artifact_engine_flag, get(), detail::number(map), name.get());
    }
    result<std::optional<flag_view>> find_flag(flag_map map, c_string name) const ARTIFACT_BORROWS {
        return detail::find<flag_view, artifact_flag_t>(artifact_engine_flag, get(), detail::number(map), name.get());
    }
    auto tunables() const noexcept ARTIFACT_BORROWS {
        using at = detail::tunable_at<artifact_engine_t, artifact_engine_tunable>;
        return range<at>({get()}, detail::tunables);
    }
    result<std::uint64_t> tunable(artifact::tunable which) const {
        return detail::read<std::uint64_t>(artifact_engine_tunable, get(), detail::number(which));
    }
    auto features() const noexcept ARTIFACT_BORROWS {
        using at = detail::feature_at<artifact_engine_t, artifact_engine_feature>;
        return range<at>({get()}, detail::features);
    }
    result<bool> feature(artifact::feature which) const {
        return detail::read<bool>(artifact_engine_feature, get(), detail::number(which));
    }
    /// Opening with this engine what no trusted key has signed is status::untrusted from now on.
    result<void> trust_key(c_string pem) { return detail::run(artifact_engine_trust_key, get(), pem.get()); }
    auto trusted_keys() const noexcept ARTIFACT_BORROWS {
        using at = detail::key_at<artifact_engine_t, artifact_engine_trusted_key_at>;
        return range<at>({get()}, artifact_engine_trusted_key_count(get()));
    }
    /// A cache key over everything that a check compares.
    result<std::array<std::uint8_t, 32>> fingerprint() const {
        std::array<std::uint8_t, 32> key;
        artifact_error_t *error;
        const artifact_status_t status = artifact_engine_fingerprint(get(), key.data(), &error);
        return detail::give(status, error, [&] { return key; });
    }
    result<buffer> to_json() const { return detail::read<buffer, artifact_buffer_t *>(artifact_engine_to_json, get()); }
};

/// Stands for an engine where a file is opened to be looked at, whatever it is.
struct inspect_t {};
inline constexpr inspect_t inspect;

/// For the time of a call: the engine to open for, or inspect.
class engine_or_inspect {
  public:
    engine_or_inspect(const engine &engine) noexcept : raw_(engine.get()) {}
    engine_or_inspect(inspect_t) noexcept : raw_(nullptr) {}

    const artifact_engine_t *get() const noexcept { return raw_; }

  private:
    const artifact_engine_t *raw_;
};

// ==== Types: what module graphs are described with ====

namespace detail {

inline artifact_entity_t raw_entity(const entity &entity) noexcept {
    artifact_entity_t raw{};
    raw.kind = number(entity.kind);
    raw.index = entity.index;
    raw.wasm_type = number(entity.type);
    raw.init = number(entity.init);
    raw.init_low = entity.init_low;
    raw.init_high = entity.init_high;
    raw.minimum = entity.minimum;
    raw.maximum = entity.maximum.value_or(0);
    raw.has_maximum = entity.maximum.has_value();
    raw.is_mutable = entity.is_mutable;
    raw.is_shared = entity.is_shared;
    raw.is_memory64 = entity.is_memory64;
    return raw;
}

inline entity cooked_entity(const artifact_entity_t &raw) noexcept {
    entity entity;
    entity.kind = entity_kind{raw.kind};
    entity.index = raw.index;
    entity.type = static_cast<wasm_type>(raw.wasm_type);
    entity.init = init_kind{raw.init};
    entity.init_low = raw.init_low;
    entity.init_high = raw.init_high;
    entity.minimum = raw.minimum;
    if (raw.has_maximum) entity.maximum = raw.maximum;
    entity.is_mutable = raw.is_mutable;
    entity.is_shared = raw.is_shared;
    entity.is_memory64 = raw.is_memory64;
    return entity;
}

template <class T> span<const T> listed(std::initializer_list<T> list) noexcept { return {list.begin(), list.size()}; }

inline const std::uint8_t *raw_types(span<const wasm_type> types) noexcept {
    return reinterpret_cast<const std::uint8_t *>(types.data());
}

struct wasm_type_at {
    const std::uint8_t *types;
    wasm_type operator()(std::size_t index) const noexcept { return wasm_type{types[index]}; }
};

} // namespace detail

/// An import or export.
struct named_entity {
    std::string_view name;
    artifact::entity entity;
};

class func_type_view {
  public:
    explicit func_type_view(const artifact_func_type_t &raw) noexcept : raw_(raw) {}

    range<detail::wasm_type_at> params() const noexcept { return {{raw_.params}, raw_.params_len}; }
    range<detail::wasm_type_at> returns() const noexcept { return {{raw_.returns}, raw_.returns_len}; }
    std::uint64_t externref_params() const noexcept { return raw_.externref_params; }
    std::uint64_t externref_returns() const noexcept { return raw_.externref_returns; }

  private:
    artifact_func_type_t raw_;
};

namespace detail {

template <auto Function> struct entity_at {
    const artifact_t *artifact;
    std::size_t type;
    result<named_entity> operator()(std::size_t index) const {
        const char *name;
        artifact_entity_t raw;
        artifact_error_t *error;
        const artifact_status_t status = Function(artifact, type, index, &name, &raw, &error);
        return give(status, error, [&] { return named_entity{name, cooked_entity(raw)}; });
    }
};

} // namespace detail

class module_type_view {
  public:
    module_type_view(const artifact_t *artifact, std::size_t index, std::size_t imports, std::uint32_t exports) noexcept
        : imports_({artifact, index}, imports), exports_(exports) {}

    auto imports() const noexcept { return imports_; }
    /// The index of the instance type of what it exports.
    std::uint32_t exports() const noexcept { return exports_; }

  private:
    range<detail::entity_at<artifact_module_import>> imports_;
    std::uint32_t exports_;
};

class instance_type_view {
  public:
    instance_type_view(const artifact_t *artifact, std::size_t index, std::size_t exports) noexcept
        : exports_({artifact, index}, exports) {}

    auto exports() const noexcept { return exports_; }

  private:
    range<detail::entity_at<artifact_instance_export>> exports_;
};

class upvar_view {
  public:
    explicit upvar_view(const artifact_upvar_t &raw) noexcept : raw_(raw) {}

    /// The index of the upvar that it is nested in.
    std::optional<std::size_t> parent() const noexcept {
        return raw_.parent == SIZE_MAX ? std::nullopt : std::optional(raw_.parent);
    }
    std::uint64_t module() const noexcept { return raw_.module; }
    span<const std::uint64_t> artifact_upvars() const noexcept {
        return {raw_.artifact_upvars, raw_.artifact_upvars_len};
    }

  private:
    artifact_upvar_t raw_;
};

namespace detail {

struct func_type_at {
    const artifact_t *artifact;
    result<func_type_view> operator()(std::size_t index) const {
        return read<func_type_view, artifact_func_type_t>(artifact_func_type, artifact, index);
    }
};

struct module_type_at {
    const artifact_t *artifact;
    result<module_type_view> operator()(std::size_t index) const {
        std::size_t imports;
        std::uint32_t exports;
        artifact_error_t *error;
        const artifact_status_t status = artifact_module_type(artifact, index, &imports, &exports, &error);
        return give(status, error, [&] { return module_type_view(artifact, index, imports, exports); });
    }
};

struct instance_type_at {
    const artifact_t *artifact;
    result<instance_type_view> operator()(std::size_t index) const {
        return call<std::size_t>([&](std::size_t exports) { return instance_type_view(artifact, index, exports); },
                                 artifact_instance_type, artifact, index);
    }
};

struct upvar_at {
    const artifact_t *artifact;
    result<upvar_view> operator()(std::size_t index) const {
        return read<upvar_view, artifact_upvar_t>(artifact_upvar_at, artifact, index);
    }
};

} // namespace detail

// ==== Modules: the ELF images in an artifact ====

class section_view {
  public:
    explicit section_view(const artifact_section_t &raw) noexcept : raw_(raw) {}

    std::string_view name() const noexcept { return raw_.name; }
    artifact::bytes bytes() const noexcept { return {raw_.bytes.data, raw_.bytes.len}; }
    std::uint64_t offset() const noexcept { return raw_.offset; }
    std::uint64_t size() const noexcept { return raw_.size; }
    std::uint64_t align() const noexcept { return raw_.align; }
    std::uint64_t address() const noexcept { return raw_.address; }
    std::uint64_t flags() const noexcept { return raw_.flags; }
    std::uint32_t type() const noexcept { return raw_.type; }

  private:
    artifact_section_t raw_;
};

class symbol_view {
  public:
    explicit symbol_view(const artifact_symbol_t &raw) noexcept : raw_(raw) {}

    std::string_view name() const noexcept { return raw_.name; }
    std::uint64_t value() const noexcept { return raw_.value; }
    std::uint64_t size() const noexcept { return raw_.size; }
    /// The index of its section; 0 if it is undefined.
    std::uint32_t section() const noexcept { return raw_.section; }
    std::uint32_t type() const noexcept { return raw_.type; }
    std::uint32_t binding() const noexcept { return raw_.binding; }

  private:
    artifact_symbol_t raw_;
};

namespace detail {

template <class View, class Raw, auto Function> struct in_module_at {
    const artifact_t *artifact;
    std::size_t module;
    result<View> operator()(std::size_t index) const { return read<View, Raw>(Function, artifact, module, index); }
};

using section_at = in_module_at<section_view, artifact_section_t, artifact_section_at>;
using symbol_at = in_module_at<symbol_view, artifact_symbol_t, artifact_symbol_at>;

} // namespace detail

class module_view {
  public:
    module_view(const artifact_t *artifact, std::size_t index, const artifact_module_t &raw) noexcept
        : artifact_(artifact), index_(index), raw_(raw) {}

    /// Which module of the artifact it is.
    std::size_t index() const noexcept { return index_; }
    artifact::bytes bytes() const noexcept { return {raw_.bytes.data, raw_.bytes.len}; }
    std::uint64_t offset() const noexcept { return raw_.offset; }
    std::uint64_t align() const noexcept { return raw_.align; }
    std::uint32_t machine() const noexcept { return raw_.machine; }
    std::uint32_t type() const noexcept { return raw_.type; }
    artifact::byte_order byte_order() const noexcept { return artifact::byte_order{raw_.byte_order}; }

    /// Every section, the null section first: sections()[symbol.section()] is a symbol's.
    result<range<detail::section_at>> sections() const {
        return detail::call<std::size_t>(
            [&](std::size_t n) {
                return range(detail::section_at{artifact_, index_}, n);
            },
            artifact_section_count, artifact_, index_);
    }
    result<section_view> section(c_string name) const {
        return detail::read<section_view, artifact_section_t>(artifact_section, artifact_, index_, name.get());
    }
    result<std::optional<section_view>> find_section(c_string name) const {
        return detail::find<section_view, artifact_section_t>(artifact_section, artifact_, index_, name.get());
    }
    /// Every symbol, the null symbol first.
    result<range<detail::symbol_at>> symbols() const {
        return detail::call<std::size_t>(
            [&](std::size_t n) {
                return range(detail::symbol_at{artifact_, index_}, n);
            },
            artifact_symbol_count, artifact_, index_);
    }
    result<symbol_view> symbol(c_string name) const {
        return detail::read<symbol_view, artifact_symbol_t>(artifact_symbol, artifact_, index_, name.get());
    }
    result<std::optional<symbol_view>> find_symbol(c_string name) const {
        return detail::find<symbol_view, artifact_symbol_t>(artifact_symbol, artifact_, index_, name.get());
    }

  private:
    const artifact_t *artifact_;
    std::size_t index_;
    artifact_module_t raw_;
};

// ==== Report: mismatches and oddities ====

class entry_view {
  public:
    explicit entry_view(const artifact_report_entry_t &raw) noexcept : raw_(raw) {}

    report_kind kind() const noexcept { return report_kind{raw_.kind}; }
    std::string_view setting() const noexcept { return raw_.setting; }
    std::string_view artifact_value() const noexcept { return raw_.artifact_value; }
    std::string_view engine_value() const noexcept { return raw_.engine_value; }
    std::string_view sentence() const noexcept { return raw_.sentence; }

  private:
    artifact_report_entry_t raw_;
};

namespace detail {

struct entry_at {
    const artifact_report_t *report;
    result<entry_view> operator()(std::size_t index) const {
        return read<entry_view, artifact_report_entry_t>(artifact_report_at, report, index);
    }
};

} // namespace detail

/// What a comparison or a verification found.
class report : public detail::handle<artifact_report_t, artifact_report_free> {
  public:
    using handle::handle;

    /// What file::check_compat() says; of a verification status::ok.
    artifact::status status() const noexcept { return artifact::status{artifact_report_status(get())}; }
    /// Its entries in the order of the checks.
    range<detail::entry_at> entries() const noexcept ARTIFACT_BORROWS {
        return {{get()}, artifact_report_count(get())};
    }
    /// The kinds of its entries, as a mask.
    std::uint64_t kinds() const noexcept { return artifact_report_kinds(get()); }
    bool has(report_kind kind) const noexcept { return (kinds() & detail::number(kind)) != 0; }
};

// ==== Code: modules made runnable ====

/// A symbol that modules use and the host defines: for load_options::symbols. The name is borrowed.
template <class Function, class = std::enable_if_t<std::is_function_v<Function>>>
artifact_import_t define(c_string name, Function *function) noexcept {
    return {name.get(), reinterpret_cast<void *>(function)};
}
inline artifact_import_t define(c_string name, void *object) noexcept { return {name.get(), object}; }

/// How to load.
struct load_options {
    /// What the host defines: see define(). Needed during the call only.
    span<const artifact_import_t> symbols = {};
    /// Look in the process for what nobody else defines: ARTIFACT_LOAD_PROCESS_SYMBOLS.
    bool process_symbols = false;
    /// Run constructors now, and destructors when the code goes: ARTIFACT_LOAD_RUN_CONSTRUCTORS.
    bool run_constructors = false;
    /// Load a private copy where the file can't be mapped executable: ARTIFACT_LOAD_ALLOW_MEMFD.
    bool allow_memfd = false;
    /// Let exceptions pass through the code; false is ARTIFACT_LOAD_NO_UNWIND.
    bool unwind = true;
    /// Show the code to GDB, and its functions to profilers: ARTIFACT_LOAD_GDB, _PERF_MAP, _JITDUMP.
    bool gdb = false;
    bool perf_map = false;
    bool jitdump = false;
};

namespace detail {

inline artifact_load_options_t raw_options(const load_options &options) noexcept {
    artifact_load_options_t raw = ARTIFACT_LOAD_OPTIONS_INIT;
    if (options.process_symbols) raw.flags |= ARTIFACT_LOAD_PROCESS_SYMBOLS;
    if (options.run_constructors) raw.flags |= ARTIFACT_LOAD_RUN_CONSTRUCTORS;
    if (options.allow_memfd) raw.flags |= ARTIFACT_LOAD_ALLOW_MEMFD;
    if (!options.unwind) raw.flags |= ARTIFACT_LOAD_NO_UNWIND;
    if (options.gdb) raw.flags |= ARTIFACT_LOAD_GDB;
    if (options.perf_map) raw.flags |= ARTIFACT_LOAD_PERF_MAP;
    if (options.jitdump) raw.flags |= ARTIFACT_LOAD_JITDUMP;
    raw.symbols = options.symbols.data();
    raw.symbol_count = options.symbols.size();
    return raw;
}

/// What artifact_load() calls instead of a user's function, which may throw where C may not.
template <class Resolve> struct resolver {
    Resolve &resolve;
#ifdef ARTIFACT_NO_EXCEPTIONS

    static void take(void *context, artifact_import_t *missing, std::size_t count) noexcept {
        static_cast<resolver *>(context)->resolve(span<artifact_import_t>(missing, count));
    }
#else
    std::exception_ptr thrown = nullptr;

    static void take(void *context, artifact_import_t *missing, std::size_t count) noexcept {
        resolver &self = *static_cast<resolver *>(context);
        try {
            self.resolve(span<artifact_import_t>(missing, count));
        } catch (...) {
            self.thrown = std::current_exception();
        }
    }
#endif
};

/// The `module` of a lookup that searched every module.
inline constexpr std::size_t any_module = SIZE_MAX;

/// The error of a lookup by name; `what` is "a function" or "an object".
[[gnu::noinline, gnu::cold]] inline error no_symbol(c_string name, std::size_t module, const char *what) {
    const std::string wanted = std::string(what) + " named '" + std::string(text(name.get())) + "'";
    return error(status::not_found, module == any_module
                                        ? "no module exports " + wanted
                                        : "module " + std::to_string(module) + " does not export " + wanted);
}

/// The error of a lookup of an object that is smaller than its C++ type.
[[gnu::noinline, gnu::cold]] inline error too_small(c_string name, std::size_t expected, std::size_t found) {
    return error(status::not_found, "expected an object of at least " + std::to_string(expected) + " bytes named '" +
                                        std::string(text(name.get())) + "', found one of " + std::to_string(found));
}

/// Fails with an error, in either mode.
template <class T> [[gnu::noinline, gnu::cold]] result<T> refuse(error &&why) {
#ifdef ARTIFACT_NO_EXCEPTIONS
    return std::move(why);
#else
    throw std::move(why);
#endif
}

template <class Function> result<Function *> typed_function(void *address, c_string name, std::size_t module) {
    static_assert(std::is_function_v<Function>, "code.function<int(int)>(name)");
    if (!address) return refuse<Function *>(no_symbol(name, module, "a function"));
    return reinterpret_cast<Function *>(address);
}

template <class Object>
result<Object *> typed_object(void *address, std::size_t size, c_string name, std::size_t module) {
    static_assert(std::is_object_v<Object>, "code.object<int>(name)");
    if (!address) return refuse<Object *>(no_symbol(name, module, "an object"));
    if (size != 0 && size < sizeof(Object)) return refuse<Object *>(too_small(name, sizeof(Object), size));
    return static_cast<Object *>(address);
}

} // namespace detail

/// What an address lies in.
struct location_view {
    std::size_t module;
    std::string_view name;
    /// How many bytes behind its beginning.
    std::size_t offset;
};

/// The modules of an artifact, loaded by file::load(). Keeps what it needs of the file, which may be destroyed first.
///
/// Destroying it runs destructors, if constructors ran, and unmaps the modules: pointers to their functions and objects
/// are then dangling. At that time no thread may be executing the code, and no exception object that it threw may be
/// alive.
///
/// A lookup by name alone searches the main module first, which is the last one of the artifact, and then the modules
/// before it, from last to first, as `artifact run` does. With an index it searches that module only. Names are those
/// that a module exports; for a module of Wasmtime, which exports nothing, those of all its symbols.
class code : public detail::handle<artifact_code_t, artifact_code_free> {
  public:
    using handle::handle;

    /// Returns the index of the main module.
    std::size_t main_module() const noexcept { return artifact_code_main_module(get()); }

    /// Returns the address of a function or object, or nullptr if no module exports that name. Sets *size, if given, to
    /// its size in bytes, or to 0 if that is unknown.
    void *symbol(c_string name, std::size_t *size = nullptr) const noexcept ARTIFACT_BORROWS {
        std::size_t module = main_module();
        void *address = symbol(module, name, size);
        while (!address && module != 0) address = symbol(--module, name, size);
        return address;
    }
    /// Returns the address of a function or object of one module, or nullptr if it does not export that name.
    void *symbol(std::size_t module, c_string name, std::size_t *size = nullptr) const noexcept ARTIFACT_BORROWS {
        return artifact_code_symbol(get(), module, name.get(), size);
    }
    /// Returns a function, as in code.function<int(int)>("fib"). Fails with status::not_found if no module exports the
    /// name. The caller is responsible for the type: nothing can check it.
    template <class Function> result<Function *> function(c_string name) const ARTIFACT_BORROWS {
        return detail::typed_function<Function>(symbol(name), name, detail::any_module);
    }
    /// Returns a function of one module. Fails with status::not_found.
    template <class Function> result<Function *> function(c_string name, std::size_t module) const ARTIFACT_BORROWS {
        return detail::typed_function<Function>(symbol(module, name), name, module);
    }
    /// Returns an object, as in code.object<int>("count"). Fails with status::not_found if no module exports the name,
    /// or if the object is smaller than its type. The caller is responsible for the type otherwise.
    template <class Object> result<Object *> object(c_string name) const ARTIFACT_BORROWS {
        std::size_t size;
        void *address = symbol(name, &size);
        return detail::typed_object<Object>(address, size, name, detail::any_module);
    }
    /// Returns an object of one module. Fails with status::not_found.
    template <class Object> result<Object *> object(c_string name, std::size_t module) const ARTIFACT_BORROWS {
        std::size_t size;
        void *address = symbol(module, name, &size);
        return detail::typed_object<Object>(address, size, name, module);
    }
    /// Nothing if the address lies in none of this code's. Of a return address take the one before.
    std::optional<location_view> symbolize(const void *pc) const noexcept ARTIFACT_BORROWS {
        std::size_t module, offset;
        const char *name;
        if (artifact_code_symbolize(get(), pc, &module, &name, &offset) != ARTIFACT_OK) return std::nullopt;
        return location_view{module, name, offset};
    }
};

// ==== Artifact: an opened one ====

/// An attribute: bytes of the embedder's own under a name of its own.
struct attribute_view {
    std::string_view name;
    bytes value;
};

namespace detail {

struct attribute_at {
    const artifact_t *artifact;
    result<attribute_view> operator()(std::size_t index) const {
        const char *name;
        artifact_slice_t value;
        artifact_error_t *error;
        const artifact_status_t status = artifact_attribute_at(artifact, index, &name, &value, &error);
        return give(status, error, [&] { return attribute_view{name, make<bytes>()(value)}; });
    }
};

struct module_at {
    const artifact_t *artifact;
    result<module_view> operator()(std::size_t index) const {
        return call<artifact_module_t>([&](const artifact_module_t &raw) { return module_view(artifact, index, raw); },
                                       artifact_module, artifact, index);
    }
};

inline artifact_open_options_t raw_options(const open_options &options) noexcept {
    artifact_open_options_t raw = ARTIFACT_OPEN_OPTIONS_INIT;
    raw.flags = (options.verify ? ARTIFACT_OPEN_VERIFY : 0) | (options.copy ? ARTIFACT_OPEN_COPY : 0);
    raw.offset = options.offset;
    raw.length = options.length;
    raw.memory_limit = options.memory_limit;
    raw.signature = options.signature.data();
    raw.signature_len = options.signature.size();
    return raw;
}

} // namespace detail

/// An opened artifact. With an engine, producer and version are checked while opening; whether it fits otherwise is
/// asked afterwards. A file that others change in place while it is open can take the process down: replace files, and
/// open with open_options::copy where others can write.
class file : public detail::handle<artifact_t, artifact_free> {
  public:
    using handle::handle;

    static result<file> open(c_string path, engine_or_inspect engine, const open_options &options = {}) {
        const artifact_open_options_t raw = detail::raw_options(options);
        return detail::read<file, artifact_t *>(artifact_open_file, path.get(), engine.get(), &raw);
    }
    /// The descriptor is duplicated: yours stays yours.
    static result<file> open_fd(int fd, engine_or_inspect engine, const open_options &options = {}) {
        const artifact_open_options_t raw = detail::raw_options(options);
        return detail::read<file, artifact_t *>(artifact_open_fd, fd, engine.get(), &raw);
    }
    /// Copies the bytes.
    static result<file> open_bytes(bytes data, engine_or_inspect engine, const open_options &options = {}) {
        const artifact_open_options_t raw = detail::raw_options(options);
        return detail::read<file, artifact_t *>(artifact_open_bytes, data.data(), data.size(), engine.get(), &raw);
    }
    /// Doesn't: they must stay as they are until the file, and every builder made of it, is gone.
    static result<file> open_borrowed(bytes data, engine_or_inspect engine, const open_options &options = {}) {
        const artifact_open_options_t raw = detail::raw_options(options);
        return detail::read<file, artifact_t *>(artifact_open_borrowed, data.data(), data.size(), engine.get(), &raw);
    }

    /// Fails with the first mismatch if it doesn't fit the engine.
    result<void> check_compat(const engine &engine) const {
        return detail::run(artifact_check_compat, get(), engine.get());
    }
    /// The same as an answer, without a reason.
    bool fits(const engine &engine) const noexcept {
        return artifact_check_compat(get(), engine.get(), nullptr) == ARTIFACT_OK;
    }
    /// Every mismatch.
    result<report> compat_report(const engine &engine) const {
        return detail::read<report, artifact_report_t *>(artifact_compat_report, get(), engine.get());
    }
    /// Checks everything, in time that grows with the file. Damage is an error, an oddity an entry of the report.
    result<report> verify() const { return detail::read<report, artifact_report_t *>(artifact_verify, get()); }

    /// Makes the modules runnable, after check_compat(). Fails with status::unresolved if symbols are missing.
    result<code> load(const engine &engine, const load_options &options = {}) const {
        const artifact_load_options_t raw = detail::raw_options(options);
        return detail::read<code, artifact_code_t *>(artifact_load, get(), engine.get(), &raw);
    }
    /// The same with a function that is called with span<artifact_import_t>, everything that the table doesn't have, at
    /// most once, and sets the addresses that it knows: wanted = define(wanted.name, function). What it throws comes
    /// out of here; without exceptions it must not throw.
    template <class Resolve>
    result<code> load(const engine &engine, const load_options &options, Resolve &&resolve) const {
        detail::resolver<std::remove_reference_t<Resolve>> resolver{resolve};
        artifact_load_options_t raw = detail::raw_options(options);
        raw.resolve = resolver.take;
        raw.context = &resolver;
        artifact_code_t *code;
        artifact_error_t *error;
        const artifact_status_t status = artifact_load(get(), engine.get(), &raw, &code, &error);
#ifndef ARTIFACT_NO_EXCEPTIONS
        if (resolver.thrown) {
            artifact_code_free(code);
            artifact_error_free(error);
            std::rethrow_exception(resolver.thrown);
        }
#endif
        return detail::give(status, error, [&] { return artifact::code(code); });
    }

    std::string_view producer() const noexcept ARTIFACT_BORROWS { return detail::text(artifact_producer(get())); }
    /// Bytes of any kind.
    std::string_view producer_version() const noexcept ARTIFACT_BORROWS {
        return text_of(detail::make<bytes>()(artifact_producer_version(get())));
    }
    /// Its length in bytes, with whatever follows the body.
    std::uint64_t file_len() const noexcept { return artifact_file_len(get()); }
    artifact::integrity integrity() const noexcept { return artifact::integrity{artifact_integrity(get())}; }

    range<detail::module_at> modules() const noexcept ARTIFACT_BORROWS {
        return {{get()}, artifact_module_count(get())};
    }
    result<module_view> module(std::size_t index) const ARTIFACT_BORROWS { return detail::module_at{get()}(index); }
    result<module_view> main_module() const ARTIFACT_BORROWS { return module(artifact_main_module(get())); }

    result<std::string_view> target() const ARTIFACT_BORROWS {
        return detail::read<std::string_view, const char *>(artifact_target, get());
    }
    /// The flags of a map in the order of their names.
    auto flags(flag_map map) const ARTIFACT_BORROWS {
        using at = detail::flag_at<artifact_t, artifact_flag_at>;
        return detail::call<std::size_t>(
            [&](std::size_t count) {
                return range(at{get(), map}, count);
            },
            artifact_flag_count, get(), detail::number(map));
    }
    result<flag_view> flag(flag_map map, c_string name) const ARTIFACT_BORROWS {
        return detail::read<flag_view, artifact_flag_t>(artifact_flag, get(), detail::number(map), name.get());
    }
    result<std::optional<flag_view>> find_flag(flag_map map, c_string name) const ARTIFACT_BORROWS {
        return detail::find<flag_view, artifact_flag_t>(artifact_flag, get(), detail::number(map), name.get());
    }
    auto tunables() const noexcept ARTIFACT_BORROWS {
        return range(detail::tunable_at<artifact_t, artifact_tunable>{get()}, detail::tunables);
    }
    result<std::uint64_t> tunable(artifact::tunable which) const {
        return detail::read<std::uint64_t>(artifact_tunable, get(), detail::number(which));
    }
    auto features() const noexcept ARTIFACT_BORROWS {
        return range(detail::feature_at<artifact_t, artifact_feature>{get()}, detail::features);
    }
    result<bool> feature(artifact::feature which) const {
        return detail::read<bool>(artifact_feature, get(), detail::number(which));
    }

    result<range<detail::upvar_at>> upvars() const ARTIFACT_BORROWS {
        return detail::call<std::size_t>([&](std::size_t count) { return range(detail::upvar_at{get()}, count); },
                                         artifact_upvar_count, get());
    }
    result<range<detail::func_type_at>> func_types() const ARTIFACT_BORROWS {
        std::size_t count;
        artifact_error_t *error;
        const artifact_status_t status = artifact_type_counts(get(), &count, nullptr, nullptr, &error);
        return detail::give(status, error, [&] { return range(detail::func_type_at{get()}, count); });
    }
    result<range<detail::module_type_at>> module_types() const ARTIFACT_BORROWS {
        std::size_t count;
        artifact_error_t *error;
        const artifact_status_t status = artifact_type_counts(get(), nullptr, &count, nullptr, &error);
        return detail::give(status, error, [&] { return range(detail::module_type_at{get()}, count); });
    }
    result<range<detail::instance_type_at>> instance_types() const ARTIFACT_BORROWS {
        std::size_t count;
        artifact_error_t *error;
        const artifact_status_t status = artifact_type_counts(get(), nullptr, nullptr, &count, &error);
        return detail::give(status, error, [&] { return range(detail::instance_type_at{get()}, count); });
    }

    /// The trusted key whose signature was found when it was opened; status::not_found without trusted keys.
    result<public_key> signed_by() const {
        return detail::read<public_key, artifact_public_key_t>(artifact_signed_by, get());
    }
    /// Whose signatures it carries, or claims to: nobody has checked them.
    auto signatures() const noexcept ARTIFACT_BORROWS {
        using at = detail::key_at<artifact_t, artifact_signature_at>;
        return range<at>({get()}, artifact_signature_count(get()));
    }
    /// A detached signature, for open_options::signature.
    result<buffer> sign(const key &key) const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_sign, get(), key.get());
    }
    /// What a key signs that this process doesn't have: behind signature_context.
    result<buffer> detached_record() const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_detached_record, get());
    }

    result<range<detail::attribute_at>> attributes() const ARTIFACT_BORROWS {
        return detail::call<std::size_t>([&](std::size_t count) { return range(detail::attribute_at{get()}, count); },
                                         artifact_attribute_count, get());
    }
    result<bytes> attribute(c_string name) const ARTIFACT_BORROWS {
        return detail::read<bytes, artifact_slice_t>(artifact_attribute, get(), name.get());
    }
    result<std::optional<bytes>> find_attribute(c_string name) const ARTIFACT_BORROWS {
        return detail::find<bytes, artifact_slice_t>(artifact_attribute, get(), name.get());
    }
};

// ==== Builder: an artifact being made ====

namespace detail {

/// What artifact_serialize_to() calls instead of a user's function, which may throw where C may not.
template <class Write> struct sink {
    Write &write;
#ifndef ARTIFACT_NO_EXCEPTIONS
    std::exception_ptr thrown = nullptr;
#endif

    static int take(void *context, const std::uint8_t *data, std::size_t len) noexcept {
        sink &self = *static_cast<sink *>(context);
#ifdef ARTIFACT_NO_EXCEPTIONS
        return self.pass({data, len});
#else
        try {
            return self.pass({data, len});
        } catch (...) {
            self.thrown = std::current_exception();
            return ECANCELED;
        }
#endif
    }

    int pass(bytes piece) {
        if constexpr (std::is_void_v<std::invoke_result_t<Write &, bytes>>) {
            write(piece);
            return 0;
        } else {
            return write(piece);
        }
    }
};

} // namespace detail

class builder : public detail::handle<artifact_builder_t, artifact_builder_free> {
  public:
    using handle::handle;

    /// For a new artifact, with the engine's settings as they are now.
    static result<builder> create(const engine &engine) {
        return detail::read<builder, artifact_builder_t *>(artifact_builder_new, engine.get());
    }
    /// Keeps the body of an artifact byte for byte, and its attributes.
    static result<builder> from_artifact(const file &file) {
        return detail::read<builder, artifact_builder_t *>(artifact_builder_new_from_artifact, file.get());
    }

    /// Adds an ELF64 image, which is borrowed: it must stay as it is until the builder is gone. Returns its index. The
    /// module added last is the main module.
    result<std::size_t> add_module(bytes elf) {
        return detail::read<std::size_t>(artifact_builder_add_module, get(), elf.data(), elf.size());
    }
    /// The same from a file, which is mapped until the builder is gone.
    result<std::size_t> add_module_file(c_string path) {
        return detail::read<std::size_t>(artifact_builder_add_module_file, get(), path.get());
    }
    /// Links relocatable objects into one shared object, and adds that. They are needed during the call only.
    result<std::size_t> add_objects(span<const artifact_object_t> objects, const link_options &options = {}) {
        artifact_link_options_t raw = ARTIFACT_LINK_OPTIONS_INIT;
        raw.flags = options.debug ? 0 : ARTIFACT_LINK_NO_DEBUG;
        return detail::read<std::size_t>(artifact_builder_add_objects, get(), objects.data(), objects.size(), &raw);
    }
    std::size_t module_count() const noexcept { return artifact_builder_module_count(get()); }

    /// Returns its index among the function types.
    result<std::uint32_t> add_func_type(span<const wasm_type> params, span<const wasm_type> returns) {
        return detail::read<std::uint32_t>(artifact_builder_add_func_type, get(), detail::raw_types(params),
                                           params.size(), detail::raw_types(returns), returns.size());
    }
    result<std::uint32_t> add_func_type(std::initializer_list<wasm_type> params,
                                        std::initializer_list<wasm_type> returns) {
        return add_func_type(detail::listed(params), detail::listed(returns));
    }
    /// Without exports. Returns its index among the instance types.
    result<std::uint32_t> add_instance_type() {
        return detail::read<std::uint32_t>(artifact_builder_add_instance_type, get());
    }
    result<void> add_instance_export(std::uint32_t instance_type, c_string name, const entity &entity) {
        const artifact_entity_t raw = detail::raw_entity(entity);
        return detail::run(artifact_builder_add_instance_export, get(), instance_type, name.get(), &raw);
    }
    /// Without imports, with an instance type of exports. Returns its index among the module types.
    result<std::uint32_t> add_module_type(std::uint32_t exports) {
        return detail::read<std::uint32_t>(artifact_builder_add_module_type, get(), exports);
    }
    result<void> add_module_import(std::uint32_t module_type, c_string name, const entity &entity) {
        const artifact_entity_t raw = detail::raw_entity(entity);
        return detail::run(artifact_builder_add_module_import, get(), module_type, name.get(), &raw);
    }
    /// parent is the index of the upvar that it is nested in. Returns its index.
    result<std::size_t> add_upvar(std::optional<std::size_t> parent, std::size_t module,
                                  span<const std::size_t> artifact_upvars = {}) {
        return detail::read<std::size_t>(artifact_builder_add_upvar, get(), parent.value_or(SIZE_MAX), module,
                                         artifact_upvars.data(), artifact_upvars.size());
    }

    /// Whether digests and attributes follow the body.
    result<void> set_trailer(bool trailer) { return detail::run(artifact_builder_set_trailer, get(), trailer); }
    /// Copies both; replaces an attribute of that name.
    result<void> set_attribute(c_string name, bytes value) {
        return detail::run(artifact_builder_set_attribute, get(), name.get(), value.data(), value.size());
    }
    result<void> unset_attribute(c_string name) {
        return detail::run(artifact_builder_unset_attribute, get(), name.get());
    }

    /// Signs with this key whatever is written from now on.
    result<void> add_key(const key &key) { return detail::run(artifact_builder_add_key, get(), key.get()); }
    /// What a key signs that this process doesn't have: behind signature_context.
    result<buffer> root_record() const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_root_record, get());
    }
    /// Adds a signature made elsewhere, of the artifact as it is now.
    result<void> add_signature(const public_key &key, bytes signature) {
        return detail::run(artifact_builder_add_signature, get(), &key.get(), signature.data(), signature.size());
    }
    result<void> clear_signatures() { return detail::run(artifact_builder_clear_signatures, get()); }

    result<buffer> serialize() const { return detail::read<buffer, artifact_buffer_t *>(artifact_serialize, get()); }
    /// Whoever opens the path sees the old file whole or the new one whole.
    result<void> serialize_to_file(c_string path, const save_options &options = {}) const {
        artifact_save_options_t raw = ARTIFACT_SAVE_OPTIONS_INIT;
        raw.flags = options.sync ? 0 : ARTIFACT_SAVE_NO_SYNC;
        return detail::run(artifact_serialize_to_file, get(), path.get(), &raw);
    }
    /// Calls write(bytes) with one piece after the other; each is valid during its call. It returns nothing, or an int:
    /// 0, or an errno that ends the writing with status::io. What it throws ends the writing, and comes out of here;
    /// without exceptions it must not throw. It must not use the builder.
    template <class Write> result<void> serialize_to(Write &&write) const {
        detail::sink<std::remove_reference_t<Write>> sink{write};
        artifact_error_t *error;
        const artifact_status_t status = artifact_serialize_to(get(), sink.take, &sink, &error);
#ifndef ARTIFACT_NO_EXCEPTIONS
        if (sink.thrown) {
            artifact_error_free(error);
            std::rethrow_exception(sink.thrown);
        }
#endif
        return detail::done(status, error);
    }
};

// ==== Detection: what is it? ====

/// What a file is, and if an artifact, of whom. Its texts are borrowed from it.
class detection {
  public:
    explicit detection(const artifact_detection_t &raw) noexcept : raw_(raw) {}

    detected kind() const noexcept { return detected{raw_.kind}; }
    bool is_artifact() const noexcept { return kind() == detected::artifact; }
    std::string_view producer() const noexcept ARTIFACT_BORROWS { return raw_.producer; }
    /// Bytes of any kind.
    std::string_view version() const noexcept ARTIFACT_BORROWS { return {raw_.version, raw_.version_len}; }

  private:
    artifact_detection_t raw_;
};

inline result<detection> detect_file(c_string path) {
    return detail::read<detection, artifact_detection_t>(artifact_detect_file, path.get());
}
inline result<detection> detect_fd(int fd) {
    return detail::read<detection, artifact_detection_t>(artifact_detect_fd, fd);
}
inline result<detection> detect_bytes(bytes data) {
    return detail::read<detection, artifact_detection_t>(artifact_detect_bytes, data.data(), data.size());
}

} // namespace ARTIFACT_HPP_MODE

} // namespace artifact

#ifdef __cpp_lib_ranges
template <class Get> inline constexpr bool std::ranges::enable_borrowed_range<artifact::range<Get>> = true;
template <class Get> inline constexpr bool std::ranges::enable_view<artifact::range<Get>> = true;
#endif

#undef ARTIFACT_HPP_MODE

#endif // C++17

#undef ARTIFACT_HPP_LANGUAGE

#endif // ARTIFACT_HPP
