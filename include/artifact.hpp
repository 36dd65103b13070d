// libartifact for C++17 and newer: owning handles, views, ranges and exceptions over the C functions of artifact.h.
//
// Everything is inline and in this one file, so a program can carry its own copy. A call costs what the C call costs,
// plus at most one move of a small view. artifact.h is the reference for what each call does; the comments here say
// what differs in C++.
//
//     artifact::engine engine;                                          // saving: what your compiler used
//     engine.set_flag(artifact::flag_map::isa, "avx2", true);
//     auto builder = artifact::builder::create(engine);
//     builder.add_module(elf);
//     builder.serialize_to_file("code.artifact");
//
//     auto host = artifact::engine::host();                             // using: what this CPU has
//     auto file = artifact::file::open("code.artifact", host);
//     if (!file.fits(host)) return;                                     // check_compat() says why
//     for (auto symbol : file.main_module().symbols()) std::cout << symbol.name() << '\n';
//     auto code = file.load(host);
//     std::cout << code.function<int(int)>("fib")(42);
//
// Names. artifact_engine_set_target(engine, triple, &error) is engine.set_target(triple). An artifact_t is a file.
// Enumerators are those of C without their prefix.
//
// Errors. Every function that returns result<T> can fail. By default result<T> is T, and a failure throws
// artifact::error. Without exceptions (-fno-exceptions, or ARTIFACT_NO_EXCEPTIONS defined before this header is
// included), result<T> holds either a T or an artifact::error. One program may mix both modes. An exception that a
// callback throws propagates out of the call that invoked the callback.
//
// Ownership. engine, builder, file, code, report, key and buffer are handles: each owns one C object, is as large as a
// pointer, can be moved but not copied, and frees the object in its destructor. Handles may be destroyed in any order
// unless a comment says otherwise. A handle that was moved from is empty: calls that can fail then fail with
// status::invalid_argument (lookups in code: status::not_found), and the others return nothing, 0 or an empty value.
//
// Lifetimes. Views (..._view), std::string_view, bytes and ranges borrow. They are valid until the handle that they
// come from is destroyed, through however many views they were obtained, and they stay valid when the handle is moved.
// With clang, ARTIFACT_BORROWS makes the compiler warn when a view outlives a temporary handle.
//
// Threads. Different threads may call const member functions of one object at the same time. Calls of other member
// functions, and the destructor, need exclusive access.
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

// Types and functions that differ between exception modes or standards are in an inline namespace of their own, so that
// one program can be built from translation units of several modes.
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

// ==== Enumerations: artifact.h documents the values ====

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

/// Returns whether the status says that the file is damaged (11 to 19).
constexpr bool is_damage(status which) noexcept {
    return static_cast<std::uint32_t>(which) >= 11 && static_cast<std::uint32_t>(which) <= 19;
}

/// Returns whether the status says that the file is valid but stale or foreign, and should be rebuilt (20 to 29).
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

/// One byte wide, as in the arrays of the C interface.
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
    module_machine = ARTIFACT_REPORT_MODULE_MACHINE,
    link = ARTIFACT_REPORT_LINK,
    padding = ARTIFACT_REPORT_PADDING,
    machine = ARTIFACT_REPORT_MACHINE,
    section = ARTIFACT_REPORT_SECTION,
    metadata = ARTIFACT_REPORT_METADATA,
    trailing_bytes = ARTIFACT_REPORT_TRAILING_BYTES,
    signature = ARTIFACT_REPORT_SIGNATURE,
};

enum class cache_outcome : std::uint32_t {
    hit = ARTIFACT_CACHE_HIT,
    made = ARTIFACT_CACHE_MADE,
    made_by_other = ARTIFACT_CACHE_MADE_BY_OTHER,
    stored = ARTIFACT_CACHE_STORED,
    not_stored = ARTIFACT_CACHE_NOT_STORED,
    fetched = ARTIFACT_CACHE_FETCHED,
    absent = ARTIFACT_CACHE_ABSENT,
    stale = ARTIFACT_CACHE_STALE,
    incompatible = ARTIFACT_CACHE_INCOMPATIBLE,
    damaged = ARTIFACT_CACHE_DAMAGED,
    untrusted = ARTIFACT_CACHE_UNTRUSTED,
    unreadable = ARTIFACT_CACHE_UNREADABLE,
    evicted = ARTIFACT_CACHE_EVICTED,
    removed = ARTIFACT_CACHE_REMOVED,
    remote_failed = ARTIFACT_CACHE_REMOTE_FAILED,
    not_locked = ARTIFACT_CACHE_NOT_LOCKED,
};

enum class detected : std::uint32_t {
    nothing = ARTIFACT_DETECTED_NOTHING,
    artifact = ARTIFACT_DETECTED_ARTIFACT,
    wasmtime_module = ARTIFACT_DETECTED_WASMTIME_MODULE,
    wasmtime_component = ARTIFACT_DETECTED_WASMTIME_COMPONENT,
};

// ==== Library ====

/// Returns the version of the library at run time, encoded as ARTIFACT_VERSION_NUMBER, which is the version of the
/// header.
inline std::uint32_t version() noexcept { return artifact_version(); }

/// Returns the version of the library at run time as text. Static storage.
inline std::string_view version_string() noexcept { return artifact_version_string(); }

/// Returns the C name of a status, such as "ARTIFACT_CORRUPT". Static storage.
inline std::string_view status_name(status which) noexcept {
    return artifact_status_name(static_cast<std::uint32_t>(which));
}

/// Returns the C name of an outcome, such as "ARTIFACT_CACHE_HIT". Static storage.
inline std::string_view cache_outcome_name(cache_outcome which) noexcept {
    return artifact_cache_outcome_name(static_cast<std::uint32_t>(which));
}

// ==== Arguments ====

/// A NUL-terminated text or path, for parameters only. Converts from a literal and from anything with a c_str(), such
/// as std::string and std::filesystem::path, but not from std::string_view, which has no NUL and would need a copy.
/// Borrows the text for the duration of the call.
class c_string {
  public:
    c_string(const char *text) noexcept : text_(text) {}
    template <class Text, class = decltype(static_cast<const char *>(std::declval<const Text &>().c_str()))>
    c_string(const Text &text) noexcept : text_(text.c_str()) {}

    const char *get() const noexcept { return text_; }

  private:
    const char *text_;
};

/// Options of builder::serialize_to_file().
struct save_options {
    /// Wait until the file is on the disk. Caches can do without: see ARTIFACT_SAVE_NO_SYNC.
    bool sync = true;
};

/// What an import expects or an export provides. Each kind uses some of the fields, as in artifact_entity_t.
struct entity {
    entity_kind kind = entity_kind::function;
    /// Function, instance, module, tag: the index of its type.
    std::uint32_t index = 0;
    /// Global, table.
    wasm_type type = wasm_type::i32;
    /// Global: the kind of its initial value, and the bits of that value.
    init_kind init = init_kind::i32;
    std::uint64_t init_low = 0;
    std::uint64_t init_high = 0;
    /// Memory: pages. Table: elements.
    std::uint64_t minimum = 0;
    std::optional<std::uint64_t> maximum = std::nullopt;
    /// Global.
    bool is_mutable = false;
    /// Memory: shared between threads; 64-bit addresses.
    bool is_shared = false;
    bool is_memory64 = false;
};

// ==== Ranges ====

/// A random-access range over items that the library returns by index. Elements are fetched on each access and returned
/// by value: if that can fail, dereferencing throws, or yields a result without exceptions. A range is a view in the
/// sense of C++20: cheap to copy, and iterators remain valid after it is gone, as long as the handle lives.
template <class Get> class range {
  public:
    class iterator;
    using value_type = decltype(std::declval<const Get &>()(std::size_t{}));

    range(Get get, std::size_t size) noexcept : get_(get), size_(size) {}

    iterator begin() const noexcept { return iterator(get_, 0); }
    iterator end() const noexcept { return iterator(get_, size_); }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    /// Returns an element. Past the end, the library reports status::not_found (tunables and features:
    /// status::invalid_argument); ranges whose elements cannot fail don't check the index.
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
    using iterator_category = std::input_iterator_tag; // in C++17 the others must return references
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

/// Why a call failed: what result<T> holds, or what is thrown. what() is one sentence that says what was expected, what
/// was found, and where. Copies are cheap and don't throw, since they share the underlying error. May be used by many
/// threads at once. Visible with default visibility, so that it can be caught across shared objects.
class [[gnu::visibility("default")]] error : public std::runtime_error {
  public:
    struct missing_at {
        const artifact_error_t *error;
        std::string_view operator()(std::size_t index) const noexcept {
            const char *name = artifact_error_missing(error, index);
            return name ? std::string_view(name) : std::string_view();
        }
    };

    /// Takes ownership of an error that a C function returned.
    [[gnu::noinline, gnu::cold]] explicit error(artifact_error_t * owned)
        : error(std::shared_ptr<const artifact_error_t>(owned, artifact_error_free)) {}
    /// An error of the program's own. It has a status and a message only.
    error(artifact::status status, const std::string &what) : std::runtime_error(what), status_(status) {}

    artifact::status status() const noexcept { return status_; }

    /// Returns the offset in the file or bytes that the error is about, if there is one.
    std::optional<std::uint64_t> offset() const noexcept {
        const std::uint64_t offset = artifact_error_offset(raw_.get());
        return offset == UINT64_MAX ? std::nullopt : std::optional(offset);
    }

    /// Returns the operating system's errno; an error code that is false if the operating system reported none.
    std::error_code code() const noexcept { return {artifact_error_errno(raw_.get()), std::generic_category()}; }

    /// Returns the names of the undefined symbols, for status::unresolved. They are valid as long as this error or a
    /// copy of it exists. An index past the end gives an empty name.
    range<missing_at> missing() const noexcept ARTIFACT_BORROWS {
        return {{raw_.get()}, artifact_error_missing_count(raw_.get())};
    }

    /// Returns the C error, which stays owned by this object; nullptr if no C function returned it.
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

/// A T, or the error that explains why there is none: the subset of C++23's std::expected that is needed here. value(),
/// operator* and operator-> call std::terminate() if it holds an error; error() does if it holds a value.
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

/// Success, or an error.
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

/// The return type of functions that throw artifact::error on failure.
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

/// Calls a C function whose last parameter is an error. Always inlined, so that the call is direct, not through a
/// pointer.
template <class Function, class... In> [[gnu::always_inline]] inline result<void> run(Function *function, In... in) {
    artifact_error_t *error;
    const artifact_status_t status = function(in..., &error);
    return done(status, error);
}

/// Converts a value of the C interface to one of this header.
template <class T> struct make {
    template <class Raw> T operator()(const Raw &raw) const noexcept { return T(raw); }
};

/// Calls a C function whose last parameters are an out-parameter, from which `make` builds the result, and an error.
template <class Raw, class Make, class Function, class... In>
[[gnu::always_inline]] inline auto call(Make make, Function *function, In... in) {
    Raw raw; // C functions write out-parameters and error on every path
    artifact_error_t *error;
    const artifact_status_t status = function(in..., &raw, &error);
    return give(status, error, [&] { return make(raw); });
}

/// Calls a C function as call() does, and converts its out-parameter to a T.
template <class T, class Raw = T, class Function, class... In>
[[gnu::always_inline]] inline auto read(Function *function, In... in) {
    return call<Raw>(make<T>(), function, in...);
}

/// Calls a C function as read() does, and returns std::nullopt for ARTIFACT_NOT_FOUND.
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

/// Owns an object of the C interface. Its members are those of every handle.
template <class Raw, void (*Free)(Raw *)> class handle {
  public:
    /// Takes ownership of a C object, which may be nullptr.
    explicit handle(Raw *owned) noexcept : raw_(owned) {}

    /// Returns the C object for calls of artifact.h. The handle keeps ownership.
    Raw *get() const noexcept { return raw_.get(); }
    /// Gives up ownership. The caller frees the object with its C function, or hands it to another handle.
    [[nodiscard]] Raw *release() noexcept { return raw_.release(); }
    /// Returns whether the handle owns an object.
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

/// The subset of C++20's std::span that is needed here.
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

/// Options of builder::add_objects().
struct link_options {
    /// Keep debug sections; false is ARTIFACT_LINK_NO_DEBUG.
    bool debug = true;
    /// Link all members of archives: ARTIFACT_LINK_WHOLE_ARCHIVE.
    bool whole_archive = false;
    /// Leave out what no exported symbol needs: ARTIFACT_LINK_GC_SECTIONS.
    bool gc_sections = false;
    /// Pack relative relocations: ARTIFACT_LINK_PACK_RELATIVE_RELOCS, which says where such a file cannot be opened.
    bool pack_relative_relocs = false;
    /// The symbols that the module exports, needed during the call only; none: all. Implies gc_sections.
    span<const char *const> entries = {};
};

/// Returns the bytes of a std::string, a vector of char or std::byte, or anything else that has data(), size() and
/// elements of one byte. Borrows from the container.
template <class Container> bytes bytes_of(const Container &container ARTIFACT_BORROWS) noexcept {
    static_assert(sizeof(*container.data()) == 1);
    return {reinterpret_cast<const std::uint8_t *>(container.data()), container.size()};
}

/// Returns bytes as text, without checking their encoding. Borrows the same memory.
inline std::string_view text_of(bytes borrowed) noexcept {
    return {reinterpret_cast<const char *>(borrowed.data()), borrowed.size()};
}

namespace detail {

template <> struct make<bytes> {
    bytes operator()(const artifact_slice_t &slice) const noexcept { return {slice.data, slice.len}; }
};

} // namespace detail

/// Bytes that the library allocated. A NUL follows the last byte, so text().data() is a C string.
class buffer : public detail::handle<artifact_buffer_t, artifact_buffer_free> {
  public:
    using handle::handle;

    const std::uint8_t *data() const noexcept ARTIFACT_BORROWS { return artifact_buffer_data(get()); }
    std::size_t size() const noexcept { return artifact_buffer_len(get()); }
    const std::uint8_t *begin() const noexcept ARTIFACT_BORROWS { return data(); }
    const std::uint8_t *end() const noexcept ARTIFACT_BORROWS { return data() + size(); }
    std::string_view text() const noexcept ARTIFACT_BORROWS { return text_of({data(), size()}); }
};

/// Options of file::open() and its siblings.
struct open_options {
    /// Also do what file::verify() does: ARTIFACT_OPEN_VERIFY.
    bool verify = false;
    /// Copy everything to private memory first, against others who change the file: ARTIFACT_OPEN_COPY.
    bool copy = false;
    /// The offset of the artifact in the file or bytes.
    std::uint64_t offset = 0;
    /// Its length in bytes; 0 means up to the end.
    std::uint64_t length = 0;
    /// The maximum size of Metadata in bytes; 0, or anything larger, means 64 MiB.
    std::uint64_t memory_limit = 0;
    /// Concatenated detached signatures, for an engine that trusts keys. Read during the call only.
    bytes signature = {};
    /// The maximum number of bytes that `copy` copies, holes of a sparse file included; 0 means no limit.
    std::uint64_t copy_limit = 0;
    /// Read modules on first use rather than mapping the file, against others who truncate it: ARTIFACT_OPEN_READ.
    bool read = false;
    /// The variant to open of a file of several targets, whatever it needs; none: the best that fits the engine.
    std::optional<std::size_t> variant = std::nullopt;
    /// Refuse a file whose best variant for the engine's target does not fit: ARTIFACT_OPEN_REQUIRE_BEST.
    bool require_best = false;
};

// ==== Keys ====

/// The prefix of a signed message, including its NUL. What is signed is this prefix followed by a root record.
inline constexpr std::string_view signature_context{ARTIFACT_SIGNATURE_CONTEXT, sizeof ARTIFACT_SIGNATURE_CONTEXT};
/// The same for an index of variants, whose digest follows.
inline constexpr std::string_view index_signature_context{ARTIFACT_INDEX_SIGNATURE_CONTEXT,
                                                          sizeof ARTIFACT_INDEX_SIGNATURE_CONTEXT};

/// A public key (Ed25519). A value type.
class public_key {
  public:
    explicit public_key(const artifact_public_key_t &raw) noexcept : raw_(raw) {}

    /// Parses a PEM text (SubjectPublicKeyInfo). Fails with status::invalid_argument.
    static result<public_key> from_pem(c_string pem) {
        return detail::read<public_key, artifact_public_key_t>(artifact_public_key_from_pem, pem.get());
    }
    /// Returns the key as a PEM text. Fails with status::invalid_argument if the bytes are not a valid key.
    result<buffer> to_pem() const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_public_key_to_pem, &raw_);
    }
    /// Returns the 32 bytes of RFC 8032. Borrows from this object.
    artifact::bytes bytes() const noexcept ARTIFACT_BORROWS { return raw_.bytes; }
    const artifact_public_key_t &get() const noexcept ARTIFACT_BORROWS { return raw_; }

    friend bool operator==(const public_key &a, const public_key &b) noexcept {
        return text_of(a.bytes()) == text_of(b.bytes());
    }
    friend bool operator!=(const public_key &a, const public_key &b) noexcept { return !(a == b); }

  private:
    artifact_public_key_t raw_;
};

/// A private key (Ed25519). It is wiped from memory once this handle and every builder that signs with it are gone.
class key : public detail::handle<artifact_key_t, artifact_key_free> {
  public:
    using handle::handle;

    /// Generates a key. Fails with status::io if the operating system has no random numbers.
    static result<key> generate() { return detail::read<key, artifact_key_t *>(artifact_key_generate); }
    /// Parses an unencrypted PEM text (PKCS#8). Fails with status::invalid_argument. The text is the caller's to wipe.
    static result<key> from_pem(c_string pem) {
        return detail::read<key, artifact_key_t *>(artifact_key_from_pem, pem.get());
    }
    /// Returns the key as a PEM text. The buffer is wiped when it is destroyed.
    result<buffer> to_pem() const { return detail::read<buffer, artifact_buffer_t *>(artifact_key_to_pem, get()); }
    /// Saves the key in a new file that only its owner can read. Never replaces a file: status::io with EEXIST.
    result<void> save(c_string path) const { return detail::run(artifact_key_save, get(), path.get()); }
    /// Returns the public half.
    result<artifact::public_key> public_key() const {
        return detail::read<artifact::public_key, artifact_public_key_t>(artifact_key_public, get());
    }
};

namespace detail {

/// Fetches a key of an engine or artifact by its index.
template <class Raw, auto Function> struct key_at {
    const Raw *of;
    result<public_key> operator()(std::size_t index) const {
        return read<public_key, artifact_public_key_t>(Function, of, index);
    }
};

} // namespace detail

// ==== Settings ====

/// A compiler flag. Borrows from the engine or file that it comes from.
class flag_view {
  public:
    explicit flag_view(const artifact_flag_t &raw) noexcept : raw_(raw) {}

    std::string_view name() const noexcept { return raw_.name; }
    flag_kind kind() const noexcept { return flag_kind{raw_.kind}; }
    /// Returns the number, or 1 for true and 0 for false; 0 for a word.
    std::uint32_t value() const noexcept { return raw_.value; }
    /// Returns the word; empty for the other kinds.
    std::string_view text() const noexcept { return detail::text(raw_.text); }

  private:
    artifact_flag_t raw_;
};

/// A tunable with its value.
struct tunable_setting {
    artifact::tunable tunable;
    std::uint64_t value;
};

/// A Wasm feature, and whether it is on.
struct feature_setting {
    artifact::feature feature;
    bool on;
};

namespace detail {

constexpr std::size_t tunables = number(tunable::generate_address_map) + 1;
constexpr std::size_t features = number(feature::memory64) + 1;

// Fetch a setting of an engine or artifact by its index.
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

// ==== Engine: a configuration to compile for or to run on ====

/// The configuration that a host compiles for or runs: target, flags, tunables, features, producer, version rule and
/// trusted keys. Builders, files and reports copy what they need, so an engine may be changed or destroyed after any
/// call. A setter that fails, with status::invalid_argument if not said otherwise, changes nothing.
class engine : public detail::handle<artifact_engine_t, artifact_engine_free> {
  public:
    using handle::handle;

    /// Creates an engine with this host's target and no flags: the baseline that a compiler fills in.
    engine() noexcept : handle(artifact_engine_new()) {}
    /// Returns an engine with this host's target and every instruction set of its CPU, to check files against.
    static engine host() noexcept { return engine(artifact_engine_new_host()); }
    /// Returns the default configuration of Wasmtime 0.33 on this host.
    static engine wasmtime() noexcept { return engine(artifact_engine_new_wasmtime()); }
    /// Parses what to_json() returned. Fails with status::invalid_argument, with line and column in what().
    static result<engine> from_json(c_string json) {
        return detail::read<engine, artifact_engine_t *>(artifact_engine_from_json, json.get());
    }
    /// Returns an independent copy.
    engine clone() const noexcept { return engine(artifact_engine_clone(get())); }
    /// Returns a copy with this host's target and CPU features: from a compiler's engine, the one to check its code
    /// against.
    engine clone_for_host() const noexcept { return engine(artifact_engine_clone_for_host(get())); }

    result<void> set_target(c_string triple) { return detail::run(artifact_engine_set_target, get(), triple.get()); }
    /// Replaces the CPU features by those of a comma-separated list: native, CPUs by LLVM's name, levels such as
    /// x86-64-v3, features; -NAME takes away.
    result<void> set_cpu(c_string names) { return detail::run(artifact_engine_set_cpu, get(), names.get()); }
    result<void> set_producer(c_string producer) {
        return detail::run(artifact_engine_set_producer, get(), producer.get());
    }
    /// Sets which version is written and accepted. Pass custom with version_rule::custom only.
    result<void> set_version_rule(artifact::version_rule rule, c_string custom = nullptr) {
        return detail::run(artifact_engine_set_version_rule, get(), detail::number(rule), custom.get());
    }
    /// Sets a flag to true or false. A template, so that neither a pointer nor a number converts to bool.
    template <class Bool, class = std::enable_if_t<std::is_same_v<Bool, bool>>>
    result<void> set_flag(flag_map map, c_string name, Bool value) {
        return detail::run(artifact_engine_set_flag_bool, get(), detail::number(map), name.get(), value);
    }
    /// Sets a flag to a number.
    result<void> set_flag(flag_map map, c_string name, std::uint8_t value) {
        return detail::run(artifact_engine_set_flag_num, get(), detail::number(map), name.get(), value);
    }
    /// Sets a flag to a word.
    result<void> set_flag(flag_map map, c_string name, c_string word) {
        return detail::run(artifact_engine_set_flag_enum, get(), detail::number(map), name.get(), word.get());
    }
    /// Removes a flag. Fails with status::not_found if there is none of that name.
    result<void> unset_flag(flag_map map, c_string name) {
        return detail::run(artifact_engine_unset_flag, get(), detail::number(map), name.get());
    }
    result<void> set_tunable(artifact::tunable which, std::uint64_t value) {
        return detail::run(artifact_engine_set_tunable, get(), detail::number(which), value);
    }
    result<void> set_feature(artifact::feature which, bool on) {
        return detail::run(artifact_engine_set_feature, get(), detail::number(which), on);
    }

    // These texts are valid until the engine is destroyed, even if the setting is changed.
    std::string_view target() const noexcept ARTIFACT_BORROWS { return detail::text(artifact_engine_target(get())); }
    std::string_view producer() const noexcept ARTIFACT_BORROWS {
        return detail::text(artifact_engine_producer(get()));
    }
    std::string_view version() const noexcept ARTIFACT_BORROWS { return detail::text(artifact_engine_version(get())); }
    artifact::version_rule version_rule() const noexcept {
        return artifact::version_rule{artifact_engine_version_rule(get())};
    }
    /// Returns the flags of a map, ordered by name. The range keeps the count of the moment, so don't change flags
    /// while iterating.
    auto flags(flag_map map) const noexcept ARTIFACT_BORROWS {
        using at = detail::flag_at<artifact_engine_t, artifact_engine_flag_at>;
        return range<at>({get(), map}, artifact_engine_flag_count(get(), detail::number(map)));
    }
    /// Returns a flag. Fails with status::not_found if there is none of that name.
    result<flag_view> flag(flag_map map, c_string name) const ARTIFACT_BORROWS {
        return detail::read<flag_view, artifact_flag_t>(artifact_engine_flag, get(), detail::number(map), name.get());
    }
    /// Returns a flag, or std::nullopt if there is none of that name.
    result<std::optional<flag_view>> find_flag(flag_map map, c_string name) const ARTIFACT_BORROWS {
        return detail::find<flag_view, artifact_flag_t>(artifact_engine_flag, get(), detail::number(map), name.get());
    }
    /// Returns every tunable, in the order of the enumeration.
    auto tunables() const noexcept ARTIFACT_BORROWS {
        using at = detail::tunable_at<artifact_engine_t, artifact_engine_tunable>;
        return range<at>({get()}, detail::tunables);
    }
    result<std::uint64_t> tunable(artifact::tunable which) const {
        return detail::read<std::uint64_t>(artifact_engine_tunable, get(), detail::number(which));
    }
    /// Returns every Wasm feature, in the order of the enumeration.
    auto features() const noexcept ARTIFACT_BORROWS {
        using at = detail::feature_at<artifact_engine_t, artifact_engine_feature>;
        return range<at>({get()}, detail::features);
    }
    result<bool> feature(artifact::feature which) const {
        return detail::read<bool>(artifact_engine_feature, get(), detail::number(which));
    }
    /// Trusts a public key (PEM). From then on, opening a file with this engine fails with status::untrusted unless a
    /// trusted key has signed it.
    result<void> trust_key(c_string pem) { return detail::run(artifact_engine_trust_key, get(), pem.get()); }
    /// Returns the trusted keys, ordered by their bytes.
    auto trusted_keys() const noexcept ARTIFACT_BORROWS {
        using at = detail::key_at<artifact_engine_t, artifact_engine_trusted_key_at>;
        return range<at>({get()}, artifact_engine_trusted_key_count(get()));
    }
    /// Returns a cache key: a digest of everything that check_compat() compares.
    result<std::array<std::uint8_t, 32>> fingerprint() const {
        std::array<std::uint8_t, 32> key;
        artifact_error_t *error;
        const artifact_status_t status = artifact_engine_fingerprint(get(), key.data(), &error);
        return detail::give(status, error, [&] { return key; });
    }
    /// Returns the whole engine as JSON, including its trusted keys.
    result<buffer> to_json() const { return detail::read<buffer, artifact_buffer_t *>(artifact_engine_to_json, get()); }
};

/// Passed in place of an engine to open any file for inspection.
struct inspect_t {};
inline constexpr inspect_t inspect;

/// A parameter: the engine to open a file for, or `inspect`. Borrows the engine for the duration of the call.
class engine_or_inspect {
  public:
    engine_or_inspect(const engine &engine) noexcept : raw_(engine.get()) {}
    engine_or_inspect(inspect_t) noexcept : raw_(nullptr) {}

    const artifact_engine_t *get() const noexcept { return raw_; }

  private:
    const artifact_engine_t *raw_;
};

// ==== Types: the types of modules, instances and functions ====

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

/// An import or export. The name borrows from the file.
struct named_entity {
    std::string_view name;
    artifact::entity entity;
};

/// A function type. Borrows from the file.
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

/// A module type. Borrows from the file.
class module_type_view {
  public:
    module_type_view(const artifact_t *artifact, std::size_t index, std::size_t imports, std::uint32_t exports) noexcept
        : imports_({artifact, index}, imports), exports_(exports) {}

    auto imports() const noexcept { return imports_; }
    /// Returns the index of the instance type that lists its exports.
    std::uint32_t exports() const noexcept { return exports_; }

  private:
    range<detail::entity_at<artifact_module_import>> imports_;
    std::uint32_t exports_;
};

/// An instance type. Borrows from the file.
class instance_type_view {
  public:
    instance_type_view(const artifact_t *artifact, std::size_t index, std::size_t exports) noexcept
        : exports_({artifact, index}, exports) {}

    auto exports() const noexcept { return exports_; }

  private:
    range<detail::entity_at<artifact_instance_export>> exports_;
};

/// A module that nested modules can reach, for Wasmtime's module linking. Borrows from the file.
class upvar_view {
  public:
    explicit upvar_view(const artifact_upvar_t &raw) noexcept : raw_(raw) {}

    /// Returns the index of the upvar that it is nested in.
    std::optional<std::size_t> parent() const noexcept {
        return raw_.parent == SIZE_MAX ? std::nullopt : std::optional(raw_.parent);
    }
    /// Returns the index of its module in the artifact.
    std::uint64_t module() const noexcept { return raw_.module; }
    /// Returns the indexes of the modules that it passes on.
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

/// A section. Borrows from the file. Numbers are those of <elf.h>.
class section_view {
  public:
    explicit section_view(const artifact_section_t &raw) noexcept : raw_(raw) {}

    std::string_view name() const noexcept { return raw_.name; }
    /// Returns the contents; empty for SHT_NOBITS.
    artifact::bytes bytes() const noexcept { return {raw_.bytes.data, raw_.bytes.len}; }
    /// Returns the offset in the module.
    std::uint64_t offset() const noexcept { return raw_.offset; }
    std::uint64_t size() const noexcept { return raw_.size; }
    std::uint64_t align() const noexcept { return raw_.align; }
    std::uint64_t address() const noexcept { return raw_.address; }
    std::uint64_t flags() const noexcept { return raw_.flags; }
    std::uint32_t type() const noexcept { return raw_.type; }

  private:
    artifact_section_t raw_;
};

/// A symbol. Borrows from the file. Numbers are those of <elf.h>.
class symbol_view {
  public:
    explicit symbol_view(const artifact_symbol_t &raw) noexcept : raw_(raw) {}

    std::string_view name() const noexcept { return raw_.name; }
    /// Returns st_value: an offset in the section in a relocatable module, otherwise an address.
    std::uint64_t value() const noexcept { return raw_.value; }
    std::uint64_t size() const noexcept { return raw_.size; }
    /// Returns the index of its section; 0 if it is undefined.
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

/// A module. Borrows from the file. Numbers are those of <elf.h>.
class module_view {
  public:
    module_view(const artifact_t *artifact, std::size_t index, const artifact_module_t &raw) noexcept
        : artifact_(artifact), index_(index), raw_(raw) {}

    /// Returns the index of the module in the artifact.
    std::size_t index() const noexcept { return index_; }
    /// Returns the whole ELF image.
    artifact::bytes bytes() const noexcept { return {raw_.bytes.data, raw_.bytes.len}; }
    /// Returns the offset in the artifact.
    std::uint64_t offset() const noexcept { return raw_.offset; }
    /// Returns the alignment of that offset.
    std::uint64_t align() const noexcept { return raw_.align; }
    std::uint32_t machine() const noexcept { return raw_.machine; }
    std::uint32_t type() const noexcept { return raw_.type; }
    artifact::byte_order byte_order() const noexcept { return artifact::byte_order{raw_.byte_order}; }

    /// Returns every section, with the null section first, so that sections()[symbol.section()] is the section of a
    /// symbol.
    result<range<detail::section_at>> sections() const {
        return detail::call<std::size_t>(
            [&](std::size_t n) {
                return range(detail::section_at{artifact_, index_}, n);
            },
            artifact_section_count, artifact_, index_);
    }
    /// Returns the first section of that name. Fails with status::not_found if there is none.
    result<section_view> section(c_string name) const {
        return detail::read<section_view, artifact_section_t>(artifact_section, artifact_, index_, name.get());
    }
    /// Returns the first section of that name, or std::nullopt if there is none.
    result<std::optional<section_view>> find_section(c_string name) const {
        return detail::find<section_view, artifact_section_t>(artifact_section, artifact_, index_, name.get());
    }
    /// Returns every symbol, with the null symbol first.
    result<range<detail::symbol_at>> symbols() const {
        return detail::call<std::size_t>(
            [&](std::size_t n) {
                return range(detail::symbol_at{artifact_, index_}, n);
            },
            artifact_symbol_count, artifact_, index_);
    }
    /// Returns the symbol of that name: a defined global one if there are several. Fails with status::not_found if
    /// there is none.
    result<symbol_view> symbol(c_string name) const {
        return detail::read<symbol_view, artifact_symbol_t>(artifact_symbol, artifact_, index_, name.get());
    }
    /// Returns the symbol of that name as symbol() does, or std::nullopt if there is none.
    result<std::optional<symbol_view>> find_symbol(c_string name) const {
        return detail::find<symbol_view, artifact_symbol_t>(artifact_symbol, artifact_, index_, name.get());
    }

  private:
    const artifact_t *artifact_;
    std::size_t index_;
    artifact_module_t raw_;
};

// ==== Report: mismatches and warnings ====

/// A mismatch or warning. Borrows from the report.
class entry_view {
  public:
    explicit entry_view(const artifact_report_entry_t &raw) noexcept : raw_(raw) {}

    report_kind kind() const noexcept { return report_kind{raw_.kind}; }
    /// Returns the name of the setting, or what the warning is about.
    std::string_view setting() const noexcept { return raw_.setting; }
    /// Returns the value in the artifact; empty if it has none.
    std::string_view artifact_value() const noexcept { return raw_.artifact_value; }
    /// Returns the value in the engine; empty if it has none.
    std::string_view engine_value() const noexcept { return raw_.engine_value; }
    /// Returns the sentence that file::check_compat() would fail with.
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

/// The findings of a compatibility check or a verification.
class report : public detail::handle<artifact_report_t, artifact_report_free> {
  public:
    using handle::handle;

    /// Returns the status that file::check_compat() fails with; status::ok for a verification.
    artifact::status status() const noexcept { return artifact::status{artifact_report_status(get())}; }
    /// Returns the entries in the order of the checks.
    range<detail::entry_at> entries() const noexcept ARTIFACT_BORROWS {
        return {{get()}, artifact_report_count(get())};
    }
    /// Returns the kinds of its entries as a bit mask.
    std::uint64_t kinds() const noexcept { return artifact_report_kinds(get()); }
    /// Returns whether there is an entry of that kind.
    bool has(report_kind kind) const noexcept { return (kinds() & detail::number(kind)) != 0; }
};

// ==== Code: loaded modules ====

/// Returns an entry for load_options::symbols: a function that the host provides to modules under a name. Borrows the
/// name.
template <class Function, class = std::enable_if_t<std::is_function_v<Function>>>
artifact_import_t define(c_string name, Function *function) noexcept {
    return {name.get(), reinterpret_cast<void *>(function)};
}
/// Returns an entry for load_options::symbols: an object that the host provides. Borrows the name.
inline artifact_import_t define(c_string name, void *object) noexcept { return {name.get(), object}; }

/// Options of file::load().
struct load_options {
    /// The symbols that the host provides: see define(). If a name is defined twice, the first definition counts.
    /// Borrowed for the duration of the call.
    span<const artifact_import_t> symbols = {};
    /// Look up symbols that are still undefined in the process, as dlsym() does: ARTIFACT_LOAD_PROCESS_SYMBOLS.
    bool process_symbols = false;
    /// Run constructors in load(), and destructors when the code is destroyed: ARTIFACT_LOAD_RUN_CONSTRUCTORS.
    bool run_constructors = false;
    /// Load modules although they have constructors that do not run: ARTIFACT_LOAD_SKIP_CONSTRUCTORS.
    bool skip_constructors = false;
    /// Load a private copy if the file cannot be mapped executable: ARTIFACT_LOAD_ALLOW_MEMFD.
    bool allow_memfd = false;
    /// Register unwind tables, so that exceptions can pass through the code, also with -static-libgcc; false is
    /// ARTIFACT_LOAD_NO_UNWIND.
    bool unwind = true;
    /// Register the code with GDB: ARTIFACT_LOAD_GDB.
    bool gdb = false;
    /// Write function names for profilers to /tmp/perf-PID.map: ARTIFACT_LOAD_PERF_MAP.
    bool perf_map = false;
    /// Write the functions for `perf inject --jit` to /tmp/jit-PID.dump: ARTIFACT_LOAD_JITDUMP.
    bool jitdump = false;
    /// The indexes of the modules to load, in any order; none: all of them. The others cost nothing, and export
    /// nothing. Borrowed for the duration of the call.
    span<const std::size_t> modules = {};
};

namespace detail {

inline artifact_load_options_t raw_options(const load_options &options) noexcept {
    artifact_load_options_t raw = ARTIFACT_LOAD_OPTIONS_INIT;
    if (options.process_symbols) raw.flags |= ARTIFACT_LOAD_PROCESS_SYMBOLS;
    if (options.run_constructors) raw.flags |= ARTIFACT_LOAD_RUN_CONSTRUCTORS;
    if (options.skip_constructors) raw.flags |= ARTIFACT_LOAD_SKIP_CONSTRUCTORS;
    if (options.allow_memfd) raw.flags |= ARTIFACT_LOAD_ALLOW_MEMFD;
    if (!options.unwind) raw.flags |= ARTIFACT_LOAD_NO_UNWIND;
    if (options.gdb) raw.flags |= ARTIFACT_LOAD_GDB;
    if (options.perf_map) raw.flags |= ARTIFACT_LOAD_PERF_MAP;
    if (options.jitdump) raw.flags |= ARTIFACT_LOAD_JITDUMP;
    raw.symbols = options.symbols.data();
    raw.symbol_count = options.symbols.size();
    if (!options.modules.empty()) raw.modules = options.modules.data();
    raw.module_count = options.modules.size();
    return raw;
}

/// The callback of artifact_load(). It calls the user's function and stores what that throws, since an exception must
/// not pass through the library.
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

/// The function or object that an address belongs to.
struct location {
    /// The index of the module.
    std::size_t module;
    /// The name of the function or object.
    std::string name;
    /// The offset of the address from the start of the function or object, in bytes.
    std::size_t offset;
};

namespace detail {

/// `find` calls artifact_symbolize() or artifact_code_symbolize().
template <class Find> std::optional<location> locate(Find find) {
    artifact_symbolized_t found;
    std::string name(255, ' ');
    for (;;) {
        if (find(name.data(), name.size() + 1, &found) != ARTIFACT_OK) return std::nullopt;
        const bool fits = found.name_len <= name.size();
        name.resize(found.name_len);
        if (fits) return location{found.module, std::move(name), found.offset};
    }
}

} // namespace detail

/// Returns the function or object that an address belongs to in all code that is loaded in this process, or
/// std::nullopt if there is none. Other threads may load and destroy code meanwhile. In a signal handler, call
/// artifact_symbolize(), which takes no memory.
inline std::optional<location> symbolize(const void *pc) {
    return detail::locate([pc](char *name, std::size_t size, artifact_symbolized_t *found) {
        return artifact_symbolize(pc, name, size, found);
    });
}

/// The modules of an artifact, loaded by file::load(). Keeps what it needs of the file, which may be destroyed first.
///
/// Destroying it runs destructors and unmaps the modules, as artifact_code_free() describes: pointers to their
/// functions and objects are then dangling. At that time no thread may be executing the code, and no exception object
/// that it threw may be alive. Threads that have destructors of its thread_local objects to run still run them when
/// they end.
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
    /// Returns the function or object, exported or not, that an address belongs to, or std::nullopt if there is none in
    /// this code. For a return address pass pc - 1: the call may be the last instruction of its function. In a signal
    /// handler, call artifact_code_symbolize(), which takes no memory.
    std::optional<location> symbolize(const void *pc) const {
        return detail::locate([this, pc](char *name, std::size_t size, artifact_symbolized_t *found) {
            return artifact_code_symbolize(get(), pc, name, size, found);
        });
    }
};

// ==== Files: opened artifacts ====

/// An attribute: a name and bytes that the program that saved the artifact chose. Borrows from the file.
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

struct need_at {
    const artifact_t *artifact;
    std::size_t variant;
    result<std::string_view> operator()(std::size_t index) const {
        return read<std::string_view, const char *>(artifact_variant_need_at, artifact, variant, index);
    }
};

} // namespace detail

/// A variant of a file of several targets. Its texts are valid as long as the file.
class variant_view {
  public:
    variant_view(const artifact_t *artifact, std::size_t index, const artifact_variant_t &raw) noexcept
        : artifact_(artifact), index_(index), raw_(raw) {}

    /// Returns its index in the order in which an engine tries the variants.
    std::size_t index() const noexcept { return index_; }
    /// Returns the target triple.
    std::string_view target() const noexcept { return raw_.target; }
    /// Returns the names of the ISA flags that are on, and `name=value` of those that are no switches, sorted by name.
    range<detail::need_at> needs() const noexcept { return {{artifact_, index_}, raw_.needs}; }
    /// Returns the offset of the variant in the file.
    std::uint64_t offset() const noexcept { return raw_.offset; }
    /// Returns its length in bytes.
    std::uint64_t length() const noexcept { return raw_.length; }
    /// Returns the score that it was added with.
    std::int32_t score() const noexcept { return raw_.score; }
    /// Returns when it was added: 0 for the first one.
    std::uint32_t added() const noexcept { return raw_.added; }

  private:
    const artifact_t *artifact_;
    std::size_t index_;
    artifact_variant_t raw_;
};

namespace detail {

struct variant_at {
    const artifact_t *artifact;
    result<variant_view> operator()(std::size_t index) const {
        return call<artifact_variant_t>(
            [&](const artifact_variant_t &raw) { return variant_view(artifact, index, raw); }, artifact_variant_at,
            artifact, index);
    }
};

inline artifact_open_options_t raw_options(const open_options &options) noexcept {
    artifact_open_options_t raw = ARTIFACT_OPEN_OPTIONS_INIT;
    raw.flags = (options.verify ? ARTIFACT_OPEN_VERIFY : 0) | (options.copy ? ARTIFACT_OPEN_COPY : 0) |
                (options.read ? ARTIFACT_OPEN_READ : 0) | (options.variant ? ARTIFACT_OPEN_VARIANT : 0) |
                (options.require_best ? ARTIFACT_OPEN_REQUIRE_BEST : 0);
    raw.offset = options.offset;
    raw.length = options.length;
    raw.memory_limit = options.memory_limit;
    raw.signature = options.signature.data();
    raw.signature_len = options.signature.size();
    raw.copy_limit = options.copy_limit;
    raw.variant = options.variant.value_or(0);
    return raw;
}

} // namespace detail

/// An opened artifact.
///
/// Opening with an engine checks the signature, if the engine trusts keys, then producer and version; check_compat()
/// checks everything else. Opening with `inspect` skips these checks. Opening fails with
/// - status::untrusted, wrong_producer or wrong_version if one of the checks fails;
/// - status::not_an_artifact, truncated, corrupt, digest_mismatch, unsupported or limit for a foreign or damaged file;
/// - status::incompatible if the file has several targets and none fits the engine, or with open_options::require_best
///   the best does not;
/// - status::io if it cannot be read; error::code() has the reason;
/// - status::invalid_argument if it is not a regular file, or if the options select a range outside it.
///
/// Replace files, never change them in place: reading a module of a file that was truncated since it was opened kills
/// the process (SIGBUS). Use open_options::copy where others can write to the file.
///
/// Functions that read settings (target, flags, tunables, features, upvars, types) fail with status::wrong_version if
/// the file has a foreign version whose settings cannot be decoded.
class file : public detail::handle<artifact_t, artifact_free> {
  public:
    using handle::handle;

    /// Opens the file at a path.
    static result<file> open(c_string path, engine_or_inspect engine, const open_options &options = {}) {
        const artifact_open_options_t raw = detail::raw_options(options);
        return detail::read<file, artifact_t *>(artifact_open_file, path.get(), engine.get(), &raw);
    }
    /// Opens an open file. Duplicates the descriptor, which the caller keeps, and doesn't use its position.
    static result<file> open_fd(int fd, engine_or_inspect engine, const open_options &options = {}) {
        const artifact_open_options_t raw = detail::raw_options(options);
        return detail::read<file, artifact_t *>(artifact_open_fd, fd, engine.get(), &raw);
    }
    /// Opens an artifact in memory, of which it makes a copy.
    static result<file> open_bytes(bytes data, engine_or_inspect engine, const open_options &options = {}) {
        const artifact_open_options_t raw = detail::raw_options(options);
        return detail::read<file, artifact_t *>(artifact_open_bytes, data.data(), data.size(), engine.get(), &raw);
    }
    /// Opens an artifact in memory without copying it. The bytes must neither change nor be freed before the file,
    /// every builder made from it, and its code are destroyed.
    static result<file> open_borrowed(bytes data, engine_or_inspect engine, const open_options &options = {}) {
        const artifact_open_options_t raw = detail::raw_options(options);
        return detail::read<file, artifact_t *>(artifact_open_borrowed, data.data(), data.size(), engine.get(), &raw);
    }

    /// Checks that the file fits the engine. Fails with the first mismatch: status::wrong_producer, wrong_version or
    /// incompatible.
    result<void> check_compat(const engine &engine) const {
        return detail::run(artifact_check_compat, get(), engine.get());
    }
    /// Returns whether check_compat() succeeds.
    bool fits(const engine &engine) const noexcept {
        return artifact_check_compat(get(), engine.get(), nullptr) == ARTIFACT_OK;
    }
    /// Returns every mismatch; the report is empty if the file fits.
    result<report> compat_report(const engine &engine) const {
        return detail::read<report, artifact_report_t *>(artifact_compat_report, get(), engine.get());
    }
    /// Returns why this host cannot run the code, whoever made it; the report is empty if it can.
    result<report> host_report() const {
        return detail::read<report, artifact_report_t *>(artifact_host_report, get());
    }
    /// Returns the variants of a file of several targets, in the order in which an engine tries them: the last one is
    /// the most portable. A file of one target has one.
    range<detail::variant_at> variants() const noexcept ARTIFACT_BORROWS {
        return {{get()}, artifact_variant_count(get())};
    }
    /// Returns the index of the variant that was opened.
    std::size_t variant_chosen() const noexcept { return artifact_variant_chosen(get()); }
    /// Returns every mismatch between a variant and an engine: why it was not chosen.
    result<report> variant_report(std::size_t index, const engine &engine) const {
        return detail::read<report, artifact_report_t *>(artifact_variant_report, get(), index, engine.get());
    }
    /// Checks every digest, bound, link and table, which takes time in proportion to the size of the file. Fails with
    /// status::digest_mismatch, corrupt, truncated or limit if the file is damaged. The report lists warnings that do
    /// no harm.
    result<report> verify() const { return detail::read<report, artifact_report_t *>(artifact_verify, get()); }

    /// Maps the modules and binds their symbols. Checks the signature, if the engine trusts keys, and then
    /// check_compat(), whatever was checked before. Fails with status::unresolved if symbols are undefined (see
    /// error::missing()), with status::unsupported if a module needs something that the loader doesn't have, and for
    /// damage as verify() does.
    ///
    /// Load only what you trust: nothing can check what the code does.
    result<code> load(const engine &engine, const load_options &options = {}) const {
        const artifact_load_options_t raw = detail::raw_options(options);
        return detail::read<code, artifact_code_t *>(artifact_load, get(), engine.get(), &raw);
    }
    /// Loads with a callback for symbols that options.symbols doesn't have. resolve(span<artifact_import_t> missing) is
    /// called at most once, with every missing name, and sets the addresses that it knows: wanted = define(wanted.name,
    /// function). Names are valid during the call. An exception that it throws propagates to the caller, and nothing
    /// stays loaded; without exceptions it must not throw.
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

    /// Returns the name of the program that compiled the artifact.
    std::string_view producer() const noexcept ARTIFACT_BORROWS { return detail::text(artifact_producer(get())); }
    /// Returns the version of that program: up to 255 bytes, not necessarily text.
    std::string_view producer_version() const noexcept ARTIFACT_BORROWS {
        return text_of(detail::make<bytes>()(artifact_producer_version(get())));
    }
    /// Returns the length in bytes, including whatever follows the body.
    std::uint64_t file_len() const noexcept { return artifact_file_len(get()); }
    /// Returns what protects the bytes of the artifact.
    artifact::integrity integrity() const noexcept { return artifact::integrity{artifact_integrity(get())}; }

    /// Returns the modules. There is at least one. A module is read or mapped on first access, which fails with
    /// status::digest_mismatch if the file is signed and the module isn't what was signed.
    range<detail::module_at> modules() const noexcept ARTIFACT_BORROWS {
        return {{get()}, artifact_module_count(get())};
    }
    /// Returns a module. Fails with status::not_found past the last one.
    result<module_view> module(std::size_t index) const ARTIFACT_BORROWS { return detail::module_at{get()}(index); }
    /// Returns the main module, the last one.
    result<module_view> main_module() const ARTIFACT_BORROWS { return module(artifact_main_module(get())); }

    /// Returns the target triple.
    result<std::string_view> target() const ARTIFACT_BORROWS {
        return detail::read<std::string_view, const char *>(artifact_target, get());
    }
    /// Returns the flags of a map, ordered by name.
    auto flags(flag_map map) const ARTIFACT_BORROWS {
        using at = detail::flag_at<artifact_t, artifact_flag_at>;
        return detail::call<std::size_t>(
            [&](std::size_t count) {
                return range(at{get(), map}, count);
            },
            artifact_flag_count, get(), detail::number(map));
    }
    /// Returns a flag. Fails with status::not_found if there is none of that name.
    result<flag_view> flag(flag_map map, c_string name) const ARTIFACT_BORROWS {
        return detail::read<flag_view, artifact_flag_t>(artifact_flag, get(), detail::number(map), name.get());
    }
    /// Returns a flag, or std::nullopt if there is none of that name.
    result<std::optional<flag_view>> find_flag(flag_map map, c_string name) const ARTIFACT_BORROWS {
        return detail::find<flag_view, artifact_flag_t>(artifact_flag, get(), detail::number(map), name.get());
    }
    /// Returns every tunable, in the order of the enumeration.
    auto tunables() const noexcept ARTIFACT_BORROWS {
        return range(detail::tunable_at<artifact_t, artifact_tunable>{get()}, detail::tunables);
    }
    result<std::uint64_t> tunable(artifact::tunable which) const {
        return detail::read<std::uint64_t>(artifact_tunable, get(), detail::number(which));
    }
    /// Returns every Wasm feature, in the order of the enumeration.
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

    /// Returns the trusted key whose signature was found when the file was opened. Fails with status::not_found if the
    /// engine trusted no keys.
    result<public_key> signed_by() const {
        return detail::read<public_key, artifact_public_key_t>(artifact_signed_by, get());
    }
    /// Returns the keys that the file claims to be signed by. These signatures are not verified: see signed_by().
    auto signatures() const noexcept ARTIFACT_BORROWS {
        using at = detail::key_at<artifact_t, artifact_signature_at>;
        return range<at>({get()}, artifact_signature_count(get()));
    }
    /// Returns a detached signature of the file, for open_options::signature. Reads every byte.
    result<buffer> sign(const key &key) const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_sign, get(), key.get());
    }
    /// Returns the root record, for a detached signature by a key that this process doesn't have: sign
    /// signature_context followed by this record. Of a file of several targets it is the digest of the index, to be
    /// signed after index_signature_context.
    result<buffer> detached_record() const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_detached_record, get());
    }

    /// Returns the attributes in the order of the file.
    result<range<detail::attribute_at>> attributes() const ARTIFACT_BORROWS {
        return detail::call<std::size_t>([&](std::size_t count) { return range(detail::attribute_at{get()}, count); },
                                         artifact_attribute_count, get());
    }
    /// Returns the value of an attribute. Fails with status::not_found if there is none of that name.
    result<bytes> attribute(c_string name) const ARTIFACT_BORROWS {
        return detail::read<bytes, artifact_slice_t>(artifact_attribute, get(), name.get());
    }
    /// Returns the value of an attribute, or std::nullopt if there is none of that name.
    result<std::optional<bytes>> find_attribute(c_string name) const ARTIFACT_BORROWS {
        return detail::find<bytes, artifact_slice_t>(artifact_attribute, get(), name.get());
    }
};

// ==== Builder: writes artifacts ====

namespace detail {

/// The callback of artifact_serialize_to(). It calls the user's function and stores what that throws, since an
/// exception must not pass through the library.
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

/// Calls a C function that writes through a callback.
template <class Write, class Raw>
result<void> write_to(Write &write,
                      artifact_status_t (*function)(const Raw *, artifact_write_fn, void *, artifact_error_t **),
                      const Raw *from) {
    sink<Write> sink{write};
    artifact_error_t *error;
    const artifact_status_t status = function(from, sink.take, &sink, &error);
#ifndef ARTIFACT_NO_EXCEPTIONS
    if (sink.thrown) {
        artifact_error_free(error);
        std::rethrow_exception(sink.thrown);
    }
#endif
    return done(status, error);
}

inline artifact_save_options_t raw_options(const save_options &options) noexcept {
    artifact_save_options_t raw = ARTIFACT_SAVE_OPTIONS_INIT;
    raw.flags = options.sync ? 0 : ARTIFACT_SAVE_NO_SYNC;
    return raw;
}

} // namespace detail

/// Collects modules, types and attributes, and writes them as an artifact. Saving doesn't consume the builder: it can
/// be changed and saved again.
class builder : public detail::handle<artifact_builder_t, artifact_builder_free> {
  public:
    using handle::handle;

    /// Returns a builder for a new artifact with a copy of the engine's settings.
    static result<builder> create(const engine &engine) {
        return detail::read<builder, artifact_builder_t *>(artifact_builder_new, engine.get());
    }
    /// Returns a builder that keeps the body of an opened artifact byte for byte, with its attributes and signatures.
    /// Modules, types and upvars can't be added to it. The file may be destroyed before the builder.
    static result<builder> from_artifact(const file &file) {
        return detail::read<builder, artifact_builder_t *>(artifact_builder_new_from_artifact, file.get());
    }

    /// Adds an ELF64 image as a module and returns its index. The module added last is the main module. Borrows the
    /// bytes: they must neither change nor be freed before the builder is destroyed. Fails with
    /// status::invalid_argument if they are not ELF, unsupported for ELF32, truncated or corrupt if damaged, and limit
    /// for an alignment over 2 MiB.
    result<std::size_t> add_module(bytes elf) {
        return detail::read<std::size_t>(artifact_builder_add_module, get(), elf.data(), elf.size());
    }
    /// Adds a module from a file and returns its index. The file stays mapped, and must not change, until the builder
    /// is destroyed. Fails as add_module() does, or with status::io.
    result<std::size_t> add_module_file(c_string path) {
        return detail::read<std::size_t>(artifact_builder_add_module_file, get(), path.get());
    }
    /// Links relocatable objects and what they need of archives into one shared object, adds it as a module and returns
    /// its index. The objects are needed during the call only. Fails with status::invalid_argument, for example for a
    /// duplicate symbol, or unsupported.
    result<std::size_t> add_objects(span<const artifact_object_t> objects, const link_options &options = {}) {
        artifact_link_options_t raw = ARTIFACT_LINK_OPTIONS_INIT;
        raw.flags = (options.debug ? 0 : ARTIFACT_LINK_NO_DEBUG) |
                    (options.whole_archive ? ARTIFACT_LINK_WHOLE_ARCHIVE : 0) |
                    (options.gc_sections ? ARTIFACT_LINK_GC_SECTIONS : 0) |
                    (options.pack_relative_relocs ? ARTIFACT_LINK_PACK_RELATIVE_RELOCS : 0);
        raw.entries = options.entries.data();
        raw.entry_count = options.entries.size();
        return detail::read<std::size_t>(artifact_builder_add_objects, get(), objects.data(), objects.size(), &raw);
    }
    /// Returns the number of modules.
    std::size_t module_count() const noexcept { return artifact_builder_module_count(get()); }

    /// Adds a function type and returns its index among the function types.
    result<std::uint32_t> add_func_type(span<const wasm_type> params, span<const wasm_type> returns) {
        return detail::read<std::uint32_t>(artifact_builder_add_func_type, get(), detail::raw_types(params),
                                           params.size(), detail::raw_types(returns), returns.size());
    }
    result<std::uint32_t> add_func_type(std::initializer_list<wasm_type> params,
                                        std::initializer_list<wasm_type> returns) {
        return add_func_type(detail::listed(params), detail::listed(returns));
    }
    /// Adds an instance type without exports and returns its index among the instance types.
    result<std::uint32_t> add_instance_type() {
        return detail::read<std::uint32_t>(artifact_builder_add_instance_type, get());
    }
    /// Appends an export to an instance type. Fails with status::invalid_argument if it has one of that name.
    result<void> add_instance_export(std::uint32_t instance_type, c_string name, const entity &entity) {
        const artifact_entity_t raw = detail::raw_entity(entity);
        return detail::run(artifact_builder_add_instance_export, get(), instance_type, name.get(), &raw);
    }
    /// Adds a module type without imports and returns its index among the module types. `exports` is the index of the
    /// instance type that lists its exports.
    result<std::uint32_t> add_module_type(std::uint32_t exports) {
        return detail::read<std::uint32_t>(artifact_builder_add_module_type, get(), exports);
    }
    /// Appends an import to a module type. Fails with status::invalid_argument if it has one of that name.
    result<void> add_module_import(std::uint32_t module_type, c_string name, const entity &entity) {
        const artifact_entity_t raw = detail::raw_entity(entity);
        return detail::run(artifact_builder_add_module_import, get(), module_type, name.get(), &raw);
    }
    /// Adds an upvar and returns its index. `parent` is the index of the upvar that it is nested in.
    result<std::size_t> add_upvar(std::optional<std::size_t> parent, std::size_t module,
                                  span<const std::size_t> artifact_upvars = {}) {
        return detail::read<std::size_t>(artifact_builder_add_upvar, get(), parent.value_or(SIZE_MAX), module,
                                         artifact_upvars.data(), artifact_upvars.size());
    }

    /// Sets whether a trailer (digests, attributes, signatures) is written; true by default. Fails with
    /// status::invalid_argument if false while the builder has attributes or keys.
    result<void> set_trailer(bool trailer) { return detail::run(artifact_builder_set_trailer, get(), trailer); }
    /// Sets an attribute, replacing one of that name. Copies name and value.
    result<void> set_attribute(c_string name, bytes value) {
        return detail::run(artifact_builder_set_attribute, get(), name.get(), value.data(), value.size());
    }
    /// Removes an attribute. Fails with status::not_found if there is none of that name.
    result<void> unset_attribute(c_string name) {
        return detail::run(artifact_builder_unset_attribute, get(), name.get());
    }

    /// Signs everything that is written from now on. Keeps what it needs of the key.
    result<void> add_key(const key &key) { return detail::run(artifact_builder_add_key, get(), key.get()); }
    /// Returns the root record of the artifact as it is now, for a key that this process doesn't have: sign
    /// signature_context followed by this record, and pass the signature to add_signature().
    result<buffer> root_record() const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_root_record, get());
    }
    /// Adds a signature (64 bytes) that was made elsewhere, of the artifact as it is now. Fails with
    /// status::invalid_argument if it doesn't match the key or the artifact.
    result<void> add_signature(const public_key &key, bytes signature) {
        return detail::run(artifact_builder_add_signature, get(), &key.get(), signature.data(), signature.size());
    }
    /// Removes all keys and signatures.
    result<void> clear_signatures() { return detail::run(artifact_builder_clear_signatures, get()); }

    /// Returns the artifact as bytes. The same input gives the same bytes.
    result<buffer> serialize() const { return detail::read<buffer, artifact_buffer_t *>(artifact_serialize, get()); }
    /// Saves the artifact, atomically replacing the file at the path: other processes see either the old file or the
    /// complete new one. Fails with status::io.
    result<void> serialize_to_file(c_string path, const save_options &options = {}) const {
        const artifact_save_options_t raw = detail::raw_options(options);
        return detail::run(artifact_serialize_to_file, get(), path.get(), &raw);
    }
    /// Writes the artifact through a callback: calls write(bytes) for one piece after another, in order. A piece is
    /// valid during its call. The callback returns void, or an int: 0, or an errno that stops the writing with
    /// status::io. An exception that it throws stops the writing and propagates to the caller; without exceptions it
    /// must not throw. It must not use the builder.
    template <class Write> result<void> serialize_to(Write &&write) const {
        return detail::write_to(write, artifact_serialize_to, get());
    }
};

/// Collects artifacts for several targets, and writes them as one file, of which the best variant that fits is opened.
/// Saving doesn't consume the builder.
class fat_builder : public detail::handle<artifact_fat_builder_t, artifact_fat_builder_free> {
  public:
    using handle::handle;

    /// Creates a builder without variants.
    fat_builder() noexcept : handle(artifact_fat_builder_new()) {}

    /// Returns a builder with all variants of an opened file, their scores and their order of adding, and the
    /// signatures of its index that are still valid when it is written. The file may be destroyed before the builder.
    static result<fat_builder> from_artifact(const file &file) {
        return detail::read<fat_builder, artifact_fat_builder_t *>(artifact_fat_builder_new_from_artifact, file.get());
    }

    /// Adds the artifact that a builder would write, and returns its index in the order of adding. An engine tries a
    /// variant before those that need less; among others, the one with the higher score first, then the one added
    /// first. Fails with status::invalid_argument if it has another producer or version than the others, needs the same
    /// as one of them, or has no trailer, and with limit for more than 256 variants.
    result<std::size_t> add(const builder &builder, std::int32_t score = 0) {
        return detail::read<std::size_t>(artifact_fat_builder_add, get(), builder.get(), score);
    }
    /// Adds an opened artifact, whose bytes are copied as they are. Of a file of several targets, only the variant that
    /// was opened is added.
    result<std::size_t> add(const file &file, std::int32_t score = 0) {
        return detail::read<std::size_t>(artifact_fat_builder_add_artifact, get(), file.get(), score);
    }
    /// Removes a variant. The indexes of those that were added later become one less. Fails with status::not_found.
    result<void> remove(std::size_t index) { return detail::run(artifact_fat_builder_remove, get(), index); }
    /// Returns the number of variants.
    std::size_t count() const noexcept { return artifact_fat_builder_count(get()); }

    /// Signs the index of each file that is written from now on. Keeps what it needs of the key.
    result<void> add_key(const key &key) { return detail::run(artifact_fat_builder_add_key, get(), key.get()); }
    /// Returns the digest of the index as it is now, for a key that this process doesn't have: sign
    /// index_signature_context followed by this digest, and pass the signature to add_signature().
    result<buffer> index_digest() const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_fat_builder_index_digest, get());
    }
    /// Adds a signature (64 bytes) that was made elsewhere, of the index as it is now. Fails with
    /// status::invalid_argument if it doesn't match the key or the index.
    result<void> add_signature(const public_key &key, bytes signature) {
        return detail::run(artifact_fat_builder_add_signature, get(), &key.get(), signature.data(), signature.size());
    }
    /// Removes all keys and signatures of the index.
    result<void> clear_signatures() { return detail::run(artifact_fat_builder_clear_signatures, get()); }

    /// Returns the file as bytes. The same variants, scores and order of adding give the same bytes.
    result<buffer> serialize() const {
        return detail::read<buffer, artifact_buffer_t *>(artifact_fat_serialize, get());
    }
    /// Saves the file as builder::serialize_to_file() does. The path may be that of a variant.
    result<void> serialize_to_file(c_string path, const save_options &options = {}) const {
        const artifact_save_options_t raw = detail::raw_options(options);
        return detail::run(artifact_fat_serialize_to_file, get(), path.get(), &raw);
    }
    /// Writes the file through a callback, as builder::serialize_to() does.
    template <class Write> result<void> serialize_to(Write &&write) const {
        return detail::write_to(write, artifact_fat_serialize_to, get());
    }
};

// ==== Cache: from a key to code ====

/// A key: everything that code was compiled from. Names, lengths and the order of parts count.
class cache_key : public detail::handle<artifact_cache_key_t, artifact_cache_key_free> {
  public:
    using handle::handle;
    cache_key() noexcept : handle(artifact_cache_key_new()) {}

    /// Adds a part.
    result<void> add(c_string name, bytes data) {
        return detail::run(artifact_cache_key_add, get(), name.get(), data.data(), data.size());
    }
    result<void> add(c_string name, std::string_view text) { return add(name, bytes_of(text)); }
    /// Returns the digest of the parts so far, which names the entry.
    result<std::array<std::uint8_t, 32>> digest() const {
        std::array<std::uint8_t, 32> digest;
        artifact_error_t *error;
        const artifact_status_t status = artifact_cache_key_digest(get(), digest.data(), &error);
        return detail::give(status, error, [&] { return digest; });
    }
};

/// What happened to an entry. Borrows; valid during the call that reports it.
struct cache_event {
    cache_outcome outcome;
    /// The file, or the name in the remote.
    std::string_view path;
    /// Why, in one sentence; empty if the outcome says everything.
    std::string_view why;
};

/// A signature that was made elsewhere: see cache_options::sign_with().
struct cache_signature {
    artifact_public_key_t key;
    std::array<std::uint8_t, 64> bytes;
};

/// Options of cache::open(). 0 is the default of every number: see artifact_cache_options_t. What is borrowed is needed
/// during the call only, except for functions and what belongs to them, which must outlive the cache.
struct cache_options {
    /// Write nothing: ARTIFACT_CACHE_READ_ONLY.
    bool read_only = false;
    /// Wait until entries are on the disk; false is ARTIFACT_CACHE_NO_SYNC.
    bool sync = true;
    /// Check all bytes of each entry that is found: ARTIFACT_CACHE_VERIFY_ALWAYS.
    bool verify_always = false;
    /// Use what nobody has signed: ARTIFACT_CACHE_REMOTE_UNSIGNED.
    bool remote_unsigned = false;
    std::uint64_t max_bytes = 0;
    std::uint64_t max_entries = 0;
    std::uint64_t max_age_s = 0;
    std::uint64_t wait_ms = 0;
    /// Engines that entries may be built for, the preferred one first: engine::get() of each.
    span<const artifact_engine_t *const> targets = {};
    /// The key that signs what is stored.
    const key *signing_key = nullptr;
    artifact_sign_fn sign = nullptr;
    void *sign_context = nullptr;
    /// Folders and packs that are searched behind the folder.
    span<const char *const> layers = {};
    const artifact_cache_remote_t *remote = nullptr;
    artifact_cache_event_fn on_event = nullptr;
    void *event_context = nullptr;

    /// Calls report(const cache_event &) for each event. It must outlive the cache and must not throw; several threads
    /// may call it at once.
    template <class Report> cache_options &report_to(Report &report) noexcept {
        event_context = const_cast<void *>(static_cast<const void *>(&report));
        on_event = [](void *context, std::uint32_t outcome, const char *path, const artifact_error_t *why) noexcept {
            (*static_cast<Report *>(context))(cache_event{cache_outcome{outcome}, path, artifact_error_message(why)});
        };
        return *this;
    }
    /// Signs with sign(bytes message), which returns a std::optional<cache_signature>; with none, the entry is not
    /// stored. It must outlive the cache and must not throw; several threads may call it at once.
    template <class Sign> cache_options &sign_with(Sign &sign_elsewhere) noexcept {
        sign_context = const_cast<void *>(static_cast<const void *>(&sign_elsewhere));
        sign = [](void *context, const std::uint8_t *message, std::size_t len, artifact_public_key_t *public_key,
                  std::uint8_t *signature) noexcept -> std::uint32_t {
            const std::optional<cache_signature> made = (*static_cast<Sign *>(context))(artifact::bytes(message, len));
            if (!made) return ARTIFACT_IO;
            *public_key = made->key;
            for (const std::uint8_t byte : made->bytes) *signature++ = byte;
            return ARTIFACT_OK;
        };
        return *this;
    }
};

/// What a cache's folder holds.
struct cache_stats {
    std::uint64_t entries;
    /// In full blocks of 4 KiB.
    std::uint64_t bytes;
};

/// An entry of a cache's folder. Borrows; valid during the call that passes it.
struct cache_entry {
    std::string_view path;
    bytes key;
    bytes target;
    std::uint64_t size;
    /// When it was stored or last used, in seconds since 1970.
    std::int64_t used;
};

namespace detail {

/// The callback of artifact_cache_get_or_make(). It calls the user's function and stores what that throws, since an
/// exception must not pass through the library, or the error that it returns.
template <class Make> struct maker {
    Make &make;
#ifdef ARTIFACT_NO_EXCEPTIONS
    std::optional<error> failed = std::nullopt;
#else
    std::exception_ptr failed = nullptr;
#endif

    static std::uint32_t take(void *context, artifact_builder_t *raw, artifact_error_t **) noexcept {
        maker &self = *static_cast<maker *>(context);
        builder lent(raw);
        const std::uint32_t status = self.pass(lent);
        static_cast<void>(lent.release());
        return status;
    }

    std::uint32_t pass(builder &lent) {
#ifdef ARTIFACT_NO_EXCEPTIONS
        if constexpr (std::is_void_v<std::invoke_result_t<Make &, builder &>>) {
            make(lent);
        } else {
            const result<void> made = make(lent);
            if (!made) failed = made.error();
        }
        return failed ? number(failed->status()) : static_cast<std::uint32_t>(ARTIFACT_OK);
#else
        try {
            make(lent);
            return ARTIFACT_OK;
        } catch (...) {
            failed = std::current_exception();
            return ARTIFACT_INTERNAL;
        }
#endif
    }
};

/// The callback of artifact_cache_each(), likewise.
template <class Visit> struct visitor {
    Visit &visit;
#ifndef ARTIFACT_NO_EXCEPTIONS
    std::exception_ptr thrown = nullptr;
#endif

    static int take(void *context, const artifact_cache_entry_t *entry) noexcept {
        visitor &self = *static_cast<visitor *>(context);
#ifdef ARTIFACT_NO_EXCEPTIONS
        return self.pass(*entry);
#else
        try {
            return self.pass(*entry);
        } catch (...) {
            self.thrown = std::current_exception();
            return 1;
        }
#endif
    }

    int pass(const artifact_cache_entry_t &raw) {
        const cache_entry entry{raw.path, {raw.key, 32}, {raw.target, 8}, raw.size, raw.used};
        if constexpr (std::is_void_v<std::invoke_result_t<Visit &, const cache_entry &>>) {
            visit(entry);
            return 0;
        } else {
            return visit(entry) ? 0 : 1;
        }
    }
};

inline artifact_cache_options_t raw_options(const cache_options &options) noexcept {
    artifact_cache_options_t raw = ARTIFACT_CACHE_OPTIONS_INIT;
    raw.flags = (options.read_only ? ARTIFACT_CACHE_READ_ONLY : 0) | (options.sync ? 0 : ARTIFACT_CACHE_NO_SYNC) |
                (options.verify_always ? ARTIFACT_CACHE_VERIFY_ALWAYS : 0) |
                (options.remote_unsigned ? ARTIFACT_CACHE_REMOTE_UNSIGNED : 0);
    raw.max_bytes = options.max_bytes;
    raw.max_entries = options.max_entries;
    raw.max_age_s = options.max_age_s;
    raw.wait_ms = options.wait_ms;
    raw.targets = options.targets.data();
    raw.target_count = options.targets.size();
    raw.signing_key = options.signing_key ? options.signing_key->get() : nullptr;
    raw.sign = options.sign;
    raw.sign_context = options.sign_context;
    raw.layers = options.layers.data();
    raw.layer_count = options.layers.size();
    raw.remote = options.remote;
    raw.on_event = options.on_event;
    raw.event_context = options.event_context;
    return raw;
}

} // namespace detail

/// A folder of artifacts that were made once and are found by a key. All member functions are const: many threads may
/// use one cache, and many processes one folder.
class cache : public detail::handle<artifact_cache_t, artifact_cache_free> {
  public:
    using handle::handle;

    /// What a call found or made.
    struct lookup {
        /// Empty after a miss.
        file artifact;
        cache_outcome outcome;

        explicit operator bool() const noexcept { return static_cast<bool>(artifact); }
    };

    /// Opens a cache. A folder that cannot be used is no failure: see trouble().
    static result<cache> open(c_string folder, const engine &engine, const cache_options &options = {}) {
        const artifact_cache_options_t raw = detail::raw_options(options);
        return detail::read<cache, artifact_cache_t *>(artifact_cache_open, folder.get(), engine.get(), &raw);
    }
    /// Returns the error for which the folder cannot be used, if there is one.
    std::optional<error> trouble() const {
        artifact_error_t *why = nullptr;
        if (artifact_cache_trouble(get(), &why) == ARTIFACT_OK) return std::nullopt;
        return error(why);
    }

    /// Finds the artifact of a key. A miss is no failure: the outcome says why.
    result<lookup> get(const cache_key &key) const {
        return look_up([&](artifact_t **found, std::uint32_t *outcome, artifact_error_t **error) {
            return artifact_cache_get(handle::get(), key.get(), found, outcome, error);
        });
    }
    /// Stores what a builder has under a key.
    result<lookup> put(const cache_key &key, const builder &builder) const {
        return look_up([&](artifact_t **found, std::uint32_t *outcome, artifact_error_t **error) {
            return artifact_cache_put(handle::get(), key.get(), builder.get(), found, outcome, error);
        });
    }
    /// Finds the artifact of a key, or calls make(builder &) and stores what it adds to the builder. What it throws
    /// propagates to the caller; without exceptions it may return a result<void>, whose error is returned.
    /// builder::add_module() copies bytes here.
    template <class Make> result<lookup> get_or_make(const cache_key &key, Make &&make) const {
        detail::maker<std::remove_reference_t<Make>> maker{make};
        artifact_t *found;
        std::uint32_t outcome;
        artifact_error_t *error;
        const artifact_status_t status =
            artifact_cache_get_or_make(handle::get(), key.get(), maker.take, &maker, &found, &outcome, &error);
        if (maker.failed) {
            artifact_error_free(error);
#ifdef ARTIFACT_NO_EXCEPTIONS
            return *maker.failed;
#else
            std::rethrow_exception(maker.failed);
#endif
        }
        return detail::give(status, error, [&] { return lookup{file(found), cache_outcome{outcome}}; });
    }

    /// Removes the entries of a key. That there are none is no failure.
    result<void> remove(const cache_key &key) const {
        return detail::run(artifact_cache_remove, handle::get(), key.get());
    }
    /// Deletes what exceeds the limits, and returns the number of bytes that this freed.
    result<std::uint64_t> trim() const { return detail::read<std::uint64_t>(artifact_cache_trim, handle::get()); }
    /// Calls visit(const cache_entry &) for each entry of the folder. It may return a bool: false stops. An exception
    /// that it throws propagates to the caller; without exceptions it must not throw.
    template <class Visit> result<void> each(Visit &&visit) const {
        detail::visitor<std::remove_reference_t<Visit>> visitor{visit};
        artifact_error_t *error;
        const artifact_status_t status = artifact_cache_each(handle::get(), visitor.take, &visitor, &error);
#ifndef ARTIFACT_NO_EXCEPTIONS
        if (visitor.thrown) {
            artifact_error_free(error);
            std::rethrow_exception(visitor.thrown);
        }
#endif
        return detail::done(status, error);
    }
    /// Returns how often that was the outcome of a call or an event of this handle.
    std::uint64_t count(cache_outcome outcome) const noexcept {
        return artifact_cache_count(handle::get(), detail::number(outcome));
    }
    /// Measures the folder, by reading all of it.
    result<cache_stats> stats() const {
        return detail::call<artifact_cache_stats_t>(
            [](const artifact_cache_stats_t &raw) {
                return cache_stats{raw.entries, raw.bytes};
            },
            artifact_cache_stats, handle::get());
    }
    /// Writes the entries of the folder to one file, a pack, for cache_options::layers.
    result<void> export_to(c_string path) const {
        return detail::run(artifact_cache_export, handle::get(), path.get());
    }

    using handle::get; // the C object

  private:
    template <class Call> static result<lookup> look_up(Call call) {
        artifact_t *found;
        std::uint32_t outcome;
        artifact_error_t *error;
        const artifact_status_t status = call(&found, &outcome, &error);
        return detail::give(status, error, [&] { return lookup{file(found), cache_outcome{outcome}}; });
    }
};

// ==== Detection: what is a file? ====

/// What a file is, and which program made it. A value type; its texts borrow from it.
class detection {
  public:
    explicit detection(const artifact_detection_t &raw) noexcept : raw_(raw) {}

    detected kind() const noexcept { return detected{raw_.kind}; }
    bool is_artifact() const noexcept { return kind() == detected::artifact; }
    std::string_view producer() const noexcept ARTIFACT_BORROWS { return raw_.producer; }
    /// Returns the version of the producer: up to 255 bytes, not necessarily text.
    std::string_view version() const noexcept ARTIFACT_BORROWS { return {raw_.version, raw_.version_len}; }

  private:
    artifact_detection_t raw_;
};

/// Detects what the file at a path is, reading only its headers. Fails with status::truncated or corrupt for a damaged
/// artifact, with status::io, and with status::invalid_argument if it is not a regular file.
inline result<detection> detect_file(c_string path) {
    return detail::read<detection, artifact_detection_t>(artifact_detect_file, path.get());
}
/// Detects what an open file is. The descriptor's position is neither used nor moved.
inline result<detection> detect_fd(int fd) {
    return detail::read<detection, artifact_detection_t>(artifact_detect_fd, fd);
}
/// Detects what bytes in memory are.
inline result<detection> detect_bytes(bytes data) {
    return detail::read<detection, artifact_detection_t>(artifact_detect_bytes, data.data(), data.size());
}

// ==== Files of Wasmtime 3 and newer ====

/// A file that Wasmtime 3 or newer compiled, which is no artifact: only its settings are read.
class cwasm : public detail::handle<artifact_cwasm_t, artifact_cwasm_free> {
  public:
    using handle::handle;

    /// Reads the settings in the file at a path. Fails with status::not_found if it is anything else, with
    /// status::truncated, corrupt, limit or unsupported if it is damaged or too new, and as detect_file().
    static result<cwasm> open(c_string path) {
        return detail::read<cwasm, artifact_cwasm_t *>(artifact_cwasm_open_file, path.get());
    }
    /// Reads the settings in an open file. The descriptor's position is neither used nor moved.
    static result<cwasm> open_fd(int fd) { return detail::read<cwasm, artifact_cwasm_t *>(artifact_cwasm_open_fd, fd); }
    /// Reads the settings in bytes, which are needed only during the call.
    static result<cwasm> open_bytes(bytes data) {
        return detail::read<cwasm, artifact_cwasm_t *>(artifact_cwasm_open_bytes, data.data(), data.size());
    }

    /// Returns detected::wasmtime_module or detected::wasmtime_component.
    detected kind() const noexcept { return detected{artifact_cwasm_kind(get())}; }
    /// Returns the version of Wasmtime, or what a program that embeds it has set instead.
    std::string_view version() const noexcept ARTIFACT_BORROWS { return artifact_cwasm_version(get()); }
    /// Returns the target triple.
    std::string_view target() const noexcept ARTIFACT_BORROWS { return artifact_cwasm_target(get()); }
    /// Returns all settings as JSON, as `artifact inspect --json` prints them.
    result<buffer> to_json() const { return detail::read<buffer, artifact_buffer_t *>(artifact_cwasm_to_json, get()); }
    /// Reports every reason why the target and CPU of a host cannot run the code.
    result<artifact::report> report(const engine &host) const {
        return detail::read<artifact::report, artifact_report_t *>(artifact_cwasm_report, get(), host.get());
    }
    /// Reports every reason why an engine of Wasmtime refuses the file; its settings are in JSON, as to_json() returns
    /// them. Fails with status::invalid_argument if they are not.
    result<artifact::report> report_against(c_string engine_json) const {
        return detail::read<artifact::report, artifact_report_t *>(artifact_cwasm_report_against, get(),
                                                                   engine_json.get());
    }
};

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
