	.text
	.amdgcn_target "amdgcn-amd-amdhsa--gfx942"
	.globl	gemm_nt
	.type	gemm_nt,@function
gemm_nt:                                ; @gemm_nt
; %bb.0:
	s_load_dwordx8 s[8:15], s[4:5], 0x0
	v_and_b32_e32 v0, 63, v0
	s_waitcnt lgkmcnt(0)
	s_cmp_lt_i32 s12, 1
	s_cbranch_scc1 .LBB0_4
; %bb.1:
	s_mov_b32 s6, 0
.LBB0_2:                                ; =>This Loop Header: Depth=1
                                        ;     Child Loop BB0_3 Depth 2
	global_load_dwordx4 v[4:7], v[2:3], off
	global_load_ushort v8, v[2:3], off offset:64
	s_waitcnt vmcnt(0)
	ds_write_b128 v1, v[4:7]
	ds_write_b16 v1, v8 offset:1024
	s_waitcnt lgkmcnt(0)
	s_barrier
	s_mov_b32 s7, 0
.LBB0_3:                                ;   Parent Loop BB0_2 Depth=1
                                        ; =>  This Inner Loop Header: Depth=2
	ds_read2_b32 v[10:11], v9 offset1:1
	s_waitcnt lgkmcnt(0)
	v_mfma_f32_16x16x16_bf16_1k a[0:3], v[10:11], v[10:11], a[0:3]
	v_mfma_f32_16x16x16_bf16_1k a[4:7], v[10:11], v[10:11], a[4:7]
	s_add_i32 s7, s7, 1
	s_cmp_lg_u32 s7, 4
	s_cbranch_scc1 .LBB0_3
; %bb.5:
	v_add_u32_e32 v2, 64, v2
	s_add_i32 s6, s6, 1
	s_cmp_lt_i32 s6, s12
	s_cbranch_scc1 .LBB0_2
.LBB0_4:
	v_pk_fma_f32 v[0:1], v[2:3], v[4:5], v[6:7]
	global_store_dword v[2:3], v0, off
	s_endpgm
	.section	.rodata,"a",@progbits
	.amdhsa_kernel gemm_nt
	.end_amdhsa_kernel
	.text
.Lfunc_end0:
