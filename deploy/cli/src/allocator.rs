//! The allocator of the process. It is here for the ceiling of memory alone.

/// Records pass from librdkafka's threads to ours and on to the store's. The system's allocator keeps
/// what one thread allocates and another frees, until a megabyte a record is several times what is in
/// use; this one gives large blocks back at once, as `.cargo/config.toml` tells it to when it is built,
/// so that the ceiling of memory is one. C libraries use it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
