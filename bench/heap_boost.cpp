// The allocator of Boost.Interprocess, for heap.c.
#include <boost/interprocess/anonymous_shared_memory.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mapped_region.hpp>

#include <new>

namespace bip = boost::interprocess;

// Locked, as between processes: the "external buffer" of Boost has no lock by default.
using heap_type = bip::basic_managed_external_buffer<
    char, bip::rbtree_best_fit<bip::mutex_family>, bip::iset_index>;

static bip::mapped_region *region;
static heap_type *heap;

extern "C" int boost_heap_create(void)
{
    const std::size_t bytes = 64u << 20;

    region = new bip::mapped_region(bip::anonymous_shared_memory(bytes));
    heap = new heap_type(bip::create_only, region->get_address(), bytes);
    return 0;
}

extern "C" void *boost_heap_alloc(std::size_t bytes)
{
    return heap->allocate(bytes, std::nothrow);
}

extern "C" void boost_heap_free(void *pointer)
{
    heap->deallocate(pointer);
}
