# Read by CMake right after llama.cpp's own project(): the Python package needs none of its shared code for programs,
# which takes as long to compile as a third of the rest, and gives no option to leave it out.
set(LLAMA_BUILD_COMMON OFF)
