# outpost_module(name [options]): the object library of src/<name>, from every .cpp beneath it, with these compile options.
# Which module may include which is checked by tools/check_layers, not by link order: object libraries do not link.
function(outpost_module name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_library(outpost_${name} OBJECT ${sources})
  target_compile_options(outpost_${name} PRIVATE ${ARGN})
  target_include_directories(outpost_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(outpost_${name} PUBLIC Threads::Threads)
  target_sources(outpost PRIVATE $<TARGET_OBJECTS:outpost_${name}>)
endfunction()
