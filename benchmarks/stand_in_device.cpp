// Accelerators that are not there, for benchmarks/placement_table.py: devices that take every
// operation and have buffers of their own, so that llama.cpp plans and reserves for them as it does
// for CUDA. Rules copied from ggml/src/ggml-cuda/ggml-cuda.cu of ggml-org/llama.cpp@0c1e57098: the
// alignment, the padding of quantized rows, pinned host memory, which operations are worth copying
// weights for, and asynchronous copies with events. Nothing is ever computed on them.
//
// STAND_IN_GIB=24,12 says how many there are, and how large.

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"

#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Context {
    std::string name;
    size_t total;
    ggml_backend_buffer_type buffers;
};

std::vector<ggml_backend_device> devices;
ggml_backend_buffer_type pinned;
ggml_backend_reg registry;
ggml_guid guid = {0x67, 0x65, 0x6d, 0x6d, 0x61, 0x68, 0x75, 0x62, 0, 0, 0, 0, 0, 0, 0, 1};

Context * context_of(ggml_backend_dev_t device) { return static_cast<Context *>(device->context); }

// --- buffers ---------------------------------------------------------------------------------------

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t size) {
    auto * buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (buffer) {
        buffer->buft = type;
    }
    return buffer;
}

size_t allocated_size(ggml_backend_buffer_type_t, const ggml_tensor * tensor) {
    size_t size = ggml_nbytes(tensor);
    if (ggml_is_quantized(tensor->type) && tensor->ne[0] % 512) {
        size += ggml_row_size(tensor->type, 512 - tensor->ne[0] % 512);
    }
    return size;
}

// --- the device ------------------------------------------------------------------------------------

const char * name(ggml_backend_dev_t device) { return context_of(device)->name.c_str(); }

void memory(ggml_backend_dev_t device, size_t * free, size_t * total) {
    *free = *total = context_of(device)->total;
}

void properties(ggml_backend_dev_t device, ggml_backend_dev_props * found) {
    std::memset(found, 0, sizeof *found);
    found->name = name(device);
    found->description = "stand-in";
    found->type = GGML_BACKEND_DEVICE_TYPE_GPU;
    memory(device, &found->memory_free, &found->memory_total);
    found->caps = {true, true, false, true};  // async, host buffers, no host pointers, events
}

int64_t batch_size(const ggml_tensor * op) {
    switch (op->op) {
        case GGML_OP_GET_ROWS:
            return 0;
        case GGML_OP_MUL_MAT:
            return op->ne[1];
        case GGML_OP_MUL_MAT_ID:
        case GGML_OP_ROPE:
        case GGML_OP_ROPE_BACK:
            return op->ne[2];
        default:
            return ggml_nrows(op);
    }
}

ggml_backend_t start(ggml_backend_dev_t device, const char *) {
    auto * backend = new ggml_backend();
    backend->guid = &guid;
    backend->device = device;
    backend->iface = {};
    backend->iface.get_name = [](ggml_backend_t b) { return name(b->device); };
    backend->iface.free = [](ggml_backend_t b) { delete b; };
    backend->iface.graph_compute = [](ggml_backend_t, ggml_cgraph *) { return GGML_STATUS_FAILED; };
    backend->iface.synchronize = [](ggml_backend_t) {};
    backend->iface.event_record = [](ggml_backend_t, ggml_backend_event_t) {};
    backend->iface.event_wait = [](ggml_backend_t, ggml_backend_event_t) {};
    return backend;
}

void set_up(ggml_backend_device & device, Context * context) {
    device.reg = &registry;
    device.context = context;
    device.iface = {};
    device.iface.get_name = name;
    device.iface.get_description = [](ggml_backend_dev_t) { return "stand-in"; };
    device.iface.get_memory = memory;
    device.iface.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
    device.iface.get_props = properties;
    device.iface.init_backend = start;
    device.iface.get_buffer_type = [](ggml_backend_dev_t d) { return &context_of(d)->buffers; };
    device.iface.get_host_buffer_type = [](ggml_backend_dev_t) { return &pinned; };
    device.iface.supports_op = [](ggml_backend_dev_t, const ggml_tensor *) { return true; };
    device.iface.supports_buft = [](ggml_backend_dev_t d, ggml_backend_buffer_type_t type) {
        return type == &context_of(d)->buffers;
    };
    device.iface.offload_op = [](ggml_backend_dev_t, const ggml_tensor * op) {
        return batch_size(op) >= 32;
    };
    device.iface.event_new = [](ggml_backend_dev_t d) {
        return new ggml_backend_event{d, nullptr};
    };
    device.iface.event_free = [](ggml_backend_dev_t, ggml_backend_event_t event) { delete event; };
    device.iface.event_synchronize = [](ggml_backend_dev_t, ggml_backend_event_t) {};

    context->buffers.iface = {};
    context->buffers.iface.get_name = [](ggml_backend_buffer_type_t type) {
        return name(type->device);
    };
    context->buffers.iface.alloc_buffer = allocate;
    context->buffers.iface.get_alignment = [](ggml_backend_buffer_type_t) { return size_t(128); };
    context->buffers.iface.get_alloc_size = allocated_size;
    context->buffers.device = &device;
}

}  // namespace

extern "C" ggml_backend_reg_t stand_in_reg(void) {
    if (!devices.empty()) {
        return &registry;
    }
    const char * sizes = std::getenv("STAND_IN_GIB");
    std::stringstream text(sizes ? sizes : "24");
    std::vector<double> totals;
    for (std::string part; std::getline(text, part, ',');) {
        totals.push_back(std::stod(part));
    }
    devices.resize(totals.size());
    for (size_t i = 0; i < totals.size(); i++) {
        auto total = static_cast<size_t>(totals[i] * (1 << 30));
        set_up(devices[i], new Context{"CUDA" + std::to_string(i), total, {}});
    }
    pinned.iface = {};
    pinned.iface.get_name = [](ggml_backend_buffer_type_t) { return "CUDA_Host"; };
    pinned.iface.alloc_buffer = allocate;
    pinned.iface.get_alignment = [](ggml_backend_buffer_type_t) { return size_t(32); };
    pinned.iface.is_host = [](ggml_backend_buffer_type_t) { return true; };
    pinned.device = &devices[0];
    registry.api_version = GGML_BACKEND_API_VERSION;
    registry.iface.get_name = [](ggml_backend_reg_t) { return "CUDA"; };
    registry.iface.get_device_count = [](ggml_backend_reg_t) { return devices.size(); };
    registry.iface.get_device = [](ggml_backend_reg_t, size_t i) { return &devices[i]; };
    registry.iface.get_proc_address = [](ggml_backend_reg_t, const char *) -> void * { return nullptr; };
    return &registry;
}
